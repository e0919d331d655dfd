//! The authorization server's metadata, RFC 8414 and OpenID Connect Discovery:
//! what is there, and nothing else. There is no authorization endpoint and there
//! are no ID tokens yet, so neither is named.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::grants;
use crate::app::App;
use crate::config::Issuer;
use crate::{keys, scope};

const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
const CACHED: &str = "public, max-age=300";

/// The well-known documents at every place where a client of this issuer looks:
/// for one with a path, RFC 8414 §3.1 and §5 know three forms.
pub fn well_known(issuer: &Issuer) -> Router<Arc<App>> {
    let path = issuer.path();
    let mut router = Router::new().route("/.well-known/jwks.json", get(keys::jwks));
    for name in ["oauth-authorization-server", "openid-configuration"] {
        router = router.route(&format!("/.well-known/{name}"), get(metadata));
        if !path.is_empty() {
            router = router
                .route(&format!("/.well-known/{name}{path}"), get(metadata))
                .route(&format!("{path}/.well-known/{name}"), get(metadata));
        }
    }
    router
}

async fn metadata(State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], Json<Value>) {
    let issuer = &app.config.issuer;
    let at = |path: &str| format!("{}{path}", issuer.origin());
    let document = json!({
        "issuer": issuer.as_str(),
        "token_endpoint": at("/api/v1/token"),
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint": at("/api/v1/token/introspect"),
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint": at("/api/v1/token/revoke"),
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "jwks_uri": at("/.well-known/jwks.json"),
        "grant_types_supported": grants::SUPPORTED,
        // Required by RFC 8414 §2; empty, since there is no authorization endpoint.
        "response_types_supported": [],
        "scopes_supported": scope::MANAGEMENT,
    });
    ([(CACHE_CONTROL, CACHED)], Json(document))
}
