//! The only failure that becomes a response. Features fail with words of their
//! own; here each becomes a status, a code and a message, once, and a cause that
//! is nobody's business outside is logged, once.

use std::borrow::Cow;

use agentidp_verify::Rejected;
use agentidp_verify::limit::Spent;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::ids::EventId;

/// How long a caller is asked to wait while something is down, in seconds.
const UNAVAILABLE_RETRY_S: u64 = 1;

/// A failed request.
#[derive(Debug, Clone)]
pub enum Failure {
    /// 400: the request cannot be read.
    Unreadable(Cow<'static, str>),
    /// 400: not one Host. Whoever confuses hosts may confuse where requests end
    /// too: the connection ends.
    NoHost,
    /// 401, 403, 429 or 503 of a call with a token.
    Rejected(Rejected),
    /// 403: understood, and not this caller's to do.
    Forbidden(Cow<'static, str>),
    /// 404: not there, or somebody else's.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409: it contradicts what is there.
    Conflict(Cow<'static, str>),
    /// 408: the body took too long to arrive.
    TooSlow,
    /// 412: what was to be changed is no longer what was read.
    Outdated,
    /// 413.
    TooLarge,
    /// 422: it can be read, and a value in it is not acceptable.
    Invalid(Vec<Problem>),
    /// 429: the day's or the month's limit is spent.
    TierLimit {
        /// The count that was refused.
        spent: Spent,
        /// Whole seconds until the period ends.
        retry_after_s: u64,
    },
    /// An answer of RFC 6749 §5.2.
    OAuth(OAuthError, Cow<'static, str>),
    /// 400, `access_denied`: a policy's denial, which the decision explains.
    Denied {
        /// For the client.
        why: String,
        /// Its event's id.
        decision_id: EventId,
    },
    /// 503: the cause was logged.
    Unavailable(&'static str),
    /// 500: the cause was logged.
    Internal,
}

/// A value that is not acceptable.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Problem {
    /// Where it stands: a member's name.
    pub field: String,
    /// Why not.
    pub message: String,
}

/// The error codes of RFC 6749 §5.2, RFC 8707 §2 and RFC 7009 §2.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthError {
    /// 400
    InvalidRequest,
    /// 401; a challenge where the client tried HTTP authentication.
    InvalidClient {
        /// Whether it did.
        basic: bool,
    },
    /// 400
    UnauthorizedClient,
    /// 400
    UnsupportedGrantType,
    /// 400
    InvalidScope,
    /// 400
    InvalidTarget,
}

impl OAuthError {
    const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient { .. } => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
        }
    }
}

/// A failure at an OAuth endpoint: the same, with `error` and
/// `error_description` beside `code` and `message`.
#[derive(Debug)]
pub struct OAuthFailure(pub Failure);

impl<E: Into<Failure>> From<E> for OAuthFailure {
    fn from(failure: E) -> Self {
        Self(failure.into())
    }
}

impl Failure {
    /// A failure about one member of the body.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem {
            field: field.to_owned(),
            message: message.into(),
        }])
    }

    /// The answer in the words of the endpoint that was meant.
    pub(crate) fn into_response_at(self, path: &str) -> Response {
        if path.starts_with("/api/v1/token") {
            return OAuthFailure(self).into_response();
        }
        self.into_response()
    }

    /// Logs `cause` and gives a 500.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!("internal error: {cause}");
        Self::Internal
    }

    fn parts(&self) -> (StatusCode, &'static str, Cow<'static, str>) {
        let fixed = |status, code, message| (status, code, Cow::Borrowed(message));
        match self {
            Self::Unreadable(why) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", why.clone()),
            Self::NoHost => fixed(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST",
                "A request has one Host.",
            ),
            Self::Rejected(rejected) => {
                let wire = rejected.wire();
                let status = StatusCode::from_u16(wire.status);
                fixed(
                    status.unwrap_or(StatusCode::UNAUTHORIZED),
                    wire.code,
                    wire.message,
                )
            }
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "FORBIDDEN", why.clone()),
            Self::NotFound => fixed(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here."),
            Self::MethodNotAllowed => fixed(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "This method cannot be used here.",
            ),
            Self::Conflict(why) => (StatusCode::CONFLICT, "CONFLICT", why.clone()),
            Self::TooSlow => fixed(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "The body took too long to arrive.",
            ),
            Self::Outdated => fixed(
                StatusCode::PRECONDITION_FAILED,
                "PRECONDITION_FAILED",
                "This has been changed since: read it again.",
            ),
            Self::TooLarge => fixed(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                "The body is too large.",
            ),
            Self::Invalid(_) => fixed(
                StatusCode::UNPROCESSABLE_ENTITY,
                "VALIDATION_ERROR",
                "A value in the body is not acceptable.",
            ),
            Self::TierLimit { .. } => fixed(
                StatusCode::TOO_MANY_REQUESTS,
                "tier_limit_exceeded",
                "The tier's limit for this period is spent.",
            ),
            Self::OAuth(OAuthError::InvalidClient { .. }, why) => {
                (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", why.clone())
            }
            Self::OAuth(OAuthError::UnauthorizedClient, why) => {
                (StatusCode::BAD_REQUEST, "FORBIDDEN", why.clone())
            }
            Self::Denied { why, .. } => (StatusCode::BAD_REQUEST, "FORBIDDEN", why.clone().into()),
            Self::OAuth(_, why) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", why.clone()),
            Self::Unavailable(why) => {
                fixed(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", why)
            }
            Self::Internal => fixed(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "Something went wrong here; it has been logged.",
            ),
        }
    }

    fn body(&self) -> Value {
        let (_, code, message) = self.parts();
        match self {
            Self::Invalid(problems) => {
                json!({ "code": code, "message": message, "details": problems })
            }
            Self::Denied { decision_id, .. } => {
                json!({ "code": code, "message": message, "decision_id": decision_id })
            }
            _ => json!({ "code": code, "message": message }),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Rejected(rejected) => rejected.wire().headers(),
            Self::TierLimit {
                spent,
                retry_after_s,
            } => {
                let mut headers = Vec::from(spent.headers());
                headers.push((RETRY_AFTER.as_str(), retry_after_s.to_string()));
                headers
            }
            // RFC 9110 §15.5.9: what is still to come of the body is not waited for.
            Self::TooSlow | Self::NoHost => vec![(CONNECTION.as_str(), "close".to_owned())],
            Self::Unavailable(_) => vec![(RETRY_AFTER.as_str(), UNAVAILABLE_RETRY_S.to_string())],
            Self::OAuth(OAuthError::InvalidClient { basic: true }, _) => vec![(
                WWW_AUTHENTICATE.as_str(),
                r#"Basic realm="agentidp", charset="UTF-8""#.to_owned(),
            )],
            _ => Vec::new(),
        }
    }

    /// The word of RFC 6749 §5.2 (and §4.1.2.1) that says this best.
    const fn oauth_name(&self) -> &'static str {
        match self {
            Self::OAuth(error, _) => error.name(),
            Self::Denied { .. } => "access_denied",
            Self::TierLimit { .. }
            | Self::Unavailable(_)
            | Self::Rejected(Rejected::RateLimited { .. } | Rejected::Unavailable { .. }) => {
                "temporarily_unavailable"
            }
            Self::Internal => "server_error",
            Self::Rejected(_) => "invalid_client",
            _ => "invalid_request",
        }
    }
}

fn respond(failure: &Failure, body: Value) -> Response {
    let (status, ..) = failure.parts();
    let mut response = (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response();
    for (name, value) in failure.headers() {
        let name = HeaderName::try_from(name.to_ascii_lowercase());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// For the command line.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (.., message) = self.parts();
        match self {
            Self::Invalid(problems) => problems
                .iter()
                .try_for_each(|problem| write!(f, "{} {}", problem.field, problem.message)),
            _ => f.write_str(&message),
        }
    }
}

impl std::error::Error for Failure {}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        respond(&self, self.body())
    }
}

impl IntoResponse for OAuthFailure {
    fn into_response(self) -> Response {
        let Self(failure) = self;
        let mut body = failure.body();
        let (.., message) = failure.parts();
        body["error"] = failure.oauth_name().into();
        body["error_description"] = message.into();
        respond(&failure, body)
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_unmigrated(&error) {
            return Self::Unavailable(
                "The database has not been migrated: run `agentidp migrate`.",
            );
        }
        if is_outage(&error) {
            tracing::error!("Unexpected pg pool error {error}");
            return Self::Unavailable("The database cannot be reached at the moment.");
        }
        Self::internal(error)
    }
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        tracing::error!("Redis client error {error}");
        Self::Unavailable("The counters cannot be reached at the moment.")
    }
}

/// Whether `error` names the constraint `name`: then it is the client's to mend.
pub fn breaks_constraint(error: &sqlx::Error, name: &str) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.constraint())
        .is_some_and(|constraint| constraint == name)
}

/// The tables are not there yet (`undefined_table`, `undefined_column`).
fn is_unmigrated(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42P01" | "42703"))
}

/// Whether the database, rather than the statement, is what failed: the
/// connection is gone, or the server says that it cannot (classes 08, 53, 57, 58),
/// or not now: others hold a lock for too long.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57", "58", "25006", "55P03"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}
