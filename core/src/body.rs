//! Request bodies: JSON for the API, forms for the OAuth endpoints. Nothing that
//! is unknown, doubled or oversized gets through.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::form::FormError;
pub use crate::form::{Form, decode};

/// The largest body that any endpoint takes, in bytes.
pub const LARGEST_BODY: usize = 64 * 1024;

/// A JSON object. Types that it is read into refuse unknown members.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let typed = request.headers().contains_key(CONTENT_TYPE);
        // RFC 7396 is what a PATCH here means: what is absent stays.
        let json = ["application/json", "application/merge-patch+json"];
        if typed
            && !json
                .iter()
                .any(|json| is_content_type(request.headers(), json))
        {
            let why = "The body must be application/json.";
            return Err(Failure::Unreadable(why.into()));
        }
        let mut bytes = read(request, state).await?;
        // No body at all says as much as an empty object.
        if bytes.is_empty() {
            bytes = Bytes::from_static(b"{}");
        } else if !typed {
            let why = "The body needs the content type application/json.";
            return Err(Failure::Unreadable(why.into()));
        }
        // The syntax first, with duplicates and depth; then the meaning.
        agentidp_verify::strict_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(
            |error| {
                Failure::Unreadable(format!("The body is not JSON as it must be: {error}.").into())
            },
        )?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Failure::invalid("body", error.to_string()))
    }
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

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    Bytes::from_request(request, state)
        .await
        .map_err(|error: BytesRejection| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Failure::TooLarge
            } else {
                Failure::Unreadable("The body could not be read.".into())
            }
        })
}

fn is_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}
