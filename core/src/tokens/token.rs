//! `POST /api/v1/token`, RFC 6749 §3.2: authenticates the client, then hands
//! over to the grant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::client_auth::authenticate;
use super::grants::{SUPPORTED, client_credentials};
use crate::app::App;
use crate::body::Form;
use crate::clock::Now;
use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::ids::EventId;

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    /// `GET /api/v1/decisions/{decision_id}` explains it.
    decision_id: EventId,
}

pub(super) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, OAuthFailure> {
    let now = Now::read();
    let grant_type = form.required("grant_type")?;
    if !SUPPORTED.contains(&grant_type) {
        let why = "This grant type is not supported.";
        return Err(Failure::OAuth(OAuthError::UnsupportedGrantType, why.into()).into());
    }
    let authenticated = authenticate(&app, &headers, &form, now).await?;
    let issued = client_credentials::grant(&app, &authenticated, &form, now).await?;

    let answer = TokenResponse {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in,
        scope: issued.scope,
        decision_id: issued.decision_id,
    };
    let mut response = (
        [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")],
        Json(answer),
    )
        .into_response();
    if let Some(spent) = issued.spent {
        crate::limits::show(spent, response.headers_mut());
    }
    Ok(response)
}
