//! `POST /api/v1/token/introspect`, RFC 7662. A client sees its own tokens, and
//! those of its tenant with `tokens:introspect`; of anything else it learns
//! nothing.

use std::sync::Arc;

use agentidp_verify::{Audiences, Claims, Expected, Presented, Verified};
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::client_auth::authenticate;
use crate::app::App;
use crate::body::Form;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::OAuthFailure;
use crate::keys::AwsLc;
use crate::revocations::is_revoked;

pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Form,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), OAuthFailure> {
    let now = Now::read();
    let asking = authenticate(&app, &headers, &form, now).await?;
    let token = form.required("token")?;
    let answer = match own_token(&app, token, now.s()).await {
        Some(verified)
            if may_see(&asking.client, verified.claims())
                && !is_revoked(&mut *app.database.connection().await?, verified.claims())
                    .await? =>
        {
            describe(verified.claims())
        }
        _ => json!({ "active": false }),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)))
}

/// The token, if it is one of ours, for whatever audience, and has not expired at
/// `now_s`.
pub(super) async fn own_token(app: &App, token: &str, now_s: u64) -> Option<Verified> {
    let presented = Presented::parse(token).ok()?;
    let key = presented.choose(&app.keys.published).ok()?;
    let expected = Expected {
        issuer: app.config.issuer.as_str().to_owned(),
        audiences: Audiences::Any,
    };
    presented.verify(key, &expected, now_s, &AwsLc).await.ok()
}

fn may_see(client: &Client, claims: &Claims) -> bool {
    let own = claims.client_id == client.agent_id.to_string();
    let tenants = claims.org_id == client.org_id.to_string();
    own || (tenants && client.scopes.iter().any(|held| held == "tokens:introspect"))
}

/// RFC 7662 §2.2.
fn describe(claims: &Claims) -> Value {
    json!({
        "active": true,
        "token_type": "Bearer",
        "iss": claims.iss,
        "sub": claims.sub,
        "client_id": claims.client_id,
        "aud": claims.aud,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
        "scope": claims.scope,
        "org_id": claims.org_id,
        "tier": claims.tier,
        "agentidp": claims.agentidp,
        "ext": claims.ext,
    })
}
