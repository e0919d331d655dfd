//! Request bodies: JSON for the API, forms for the OAuth endpoints. Nothing that
//! is unknown, doubled or oversized gets through.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::form::FormError;
pub use crate::form::{Form, decode};

/// The largest body that an endpoint takes, in bytes; uploads may be larger.
pub const LARGEST_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(5);
/// How much more of one that is too large is read and forgotten, in bytes.
const MOST_DISCARDED: usize = 4 << 20;
/// How long nothing may come of it meanwhile.
const DISCARD_PAUSE: Duration = Duration::from_millis(100);

/// A JSON object. Types that it is read into refuse unknown members.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        read_json(&headers, bytes).map(Self)
    }
}

/// Reads a JSON object.
///
/// # Errors
/// 400 for what is no JSON, 422 for what has a member that is not acceptable.
pub(crate) fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    mut bytes: Bytes,
) -> Result<T, Failure> {
    let typed = headers.contains_key(CONTENT_TYPE);
    // RFC 7396 is what a PATCH here means: what is absent stays.
    let json = ["application/json", "application/merge-patch+json"];
    if typed && !json.iter().any(|json| is_content_type(headers, json)) {
        let why = "The body must be application/json.";
        return Err(Failure::Unreadable(why.into()));
    }
    // No body at all says as much as an empty object.
    if bytes.is_empty() {
        bytes = Bytes::from_static(b"{}");
    } else if !typed {
        let why = "The body needs the content type application/json.";
        return Err(Failure::Unreadable(why.into()));
    }
    // The syntax first, with duplicates and depth; then the meaning.
    agentidp_verify::strict_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|error| {
        Failure::Unreadable(format!("The body is not JSON as it must be: {error}.").into())
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::invalid("body", error.to_string()))
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OAuthFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthFailure> {
        if !is_content_type(request.headers(), "application/x-www-form-urlencoded") {
            let why = "The body must be application/x-www-form-urlencoded.";
            return Err(Failure::OAuth(OAuthError::InvalidRequest, why.into()).into());
        }
        let bytes = read(request, state).await?;
        Ok(Self::parse(&bytes)?)
    }
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        Self::OAuth(OAuthError::InvalidRequest, error.to_string().into())
    }
}

/// The body, which [`whole_body`] has read.
///
/// # Errors
/// 400.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    Bytes::from_request(request, state)
        .await
        .map_err(|_| Failure::Unreadable("The body could not be read.".into()))
}

/// Reads the whole body before anybody looks at the request: one that is too large
/// or too slow takes nobody's connection to the database.
///
/// # Errors
/// 400, 408, 413.
pub(crate) async fn whole_body(request: Request) -> Result<Request, Failure> {
    body_up_to(LARGEST_BODY, request).await
}

/// The same for one that may have `most` bytes.
///
/// # Errors
/// 400, 408, 413.
pub(crate) async fn body_up_to(most: usize, request: Request) -> Result<Request, Failure> {
    if request.body().size_hint().exact() == Some(0) {
        return Ok(request);
    }
    let (parts, mut body) = request.into_parts();
    match tokio::time::timeout(BODY_PATIENCE, collect(most, &mut body)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, bytes.into())),
        Ok(Err(failure)) => {
            if matches!(failure, Failure::TooLarge) {
                discard(&mut body).await;
            }
            Err(failure)
        }
        Err(_) => Err(Failure::TooSlow),
    }
}

async fn collect(most: usize, body: &mut Body) -> Result<Bytes, Failure> {
    let announced = body.size_hint().lower().min(most as u64);
    let mut bytes = Vec::with_capacity(announced as usize);
    loop {
        if bytes.len() as u64 + body.size_hint().lower() > most as u64 {
            return Err(Failure::TooLarge);
        }
        match body.frame().await {
            None => return Ok(bytes.into()),
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Some(Err(_)) => {
                return Err(Failure::Unreadable("The body could not be read.".into()));
            }
        }
    }
}

/// Reads the body of a request that is refused without it, for a little while.
pub(crate) async fn forget_body(request: Request) {
    discard(&mut request.into_body()).await;
}

/// Reads on for a little while: whoever is still sending when the connection ends
/// would hear of a broken connection, and not of the answer.
async fn discard(body: &mut Body) {
    let mut left = MOST_DISCARDED;
    while left > 0 {
        match tokio::time::timeout(DISCARD_PAUSE, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(1, Bytes::len);
                left = left.saturating_sub(length);
            }
            _ => return,
        }
    }
}

pub(crate) fn is_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}
