//! `POST /api/v1/token/revoke`, RFC 7009. The row commits, then the answer goes
//! out; what the hot store and the edges know derives from the row.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;

use super::client_auth::authenticate;
use super::introspect::own_token;
use crate::app::App;
use crate::body::Form;
use crate::clock::Now;
use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::revocations::{self, Revocation, is_revoked};

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Form,
) -> Result<StatusCode, OAuthFailure> {
    let now = Now::read();
    let asking = authenticate(&app, &headers, &form, now).await?;
    let client = &asking.client;
    // RFC 7009 §2.2: what is unknown or already dead needs no revoking.
    let Some(verified) = own_token(&app, form.required("token")?, now.s()).await else {
        return Ok(StatusCode::OK);
    };
    let claims = verified.claims();
    if claims.client_id != client.agent_id.to_string() {
        let why = "The token was issued to another client.";
        return Err(Failure::OAuth(OAuthError::UnauthorizedClient, why.into()).into());
    }
    if !is_revoked(&mut *app.database.connection().await?, claims).await? {
        let mut change = app.change(client.agent_id).await?;
        change.revoke(Revocation::of_token(&claims.jti, client.org_id, claims.exp));
        let details = json!({ "expires_at": claims.exp });
        change
            .record(client.org_id, "token.revoked", &claims.jti, details)
            .await?;
        change.commit().await?;
    }
    let mark = revocations::mark(&claims.jti, claims.exp);
    if let Err(error) = app.hot.mark(&[mark], now).await {
        // The row is what counts; the mirror makes up for the mark.
        tracing::error!("Redis client error {error}");
    }
    Ok(StatusCode::OK)
}
