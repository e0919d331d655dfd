//! `agentidp-bench ceiling SETTINGS`: the least that a token endpoint can do. It
//! parses the form, checks the secret's SHA-256 and signs a token. No store, no
//! limits, no policy, no record: nobody should run it for anything else.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use agentidp_core::clock::Now;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::Outcome;
use crate::mint::Mint;
use crate::peers::Settings;

struct Ceiling {
    mint: Mint,
    secrets: HashMap<String, Digest>,
    jwks: Value,
    settings: Settings,
}

#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: &'a str,
}

/// Serves until it is ended.
pub(crate) async fn serve(settings: &str) -> Outcome<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let issuer = format!("http://127.0.0.1:{}", settings.port);
    let mint = Mint::new(settings.alg, &issuer)?;
    let secrets = settings.clients.iter();
    let secrets = secrets.map(|client| {
        let digest = digest(&SHA256, client.secret.as_bytes());
        (client.id.clone(), digest)
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    let ceiling = Ceiling {
        jwks: mint.jwks(),
        mint,
        secrets: secrets.collect(),
        settings,
    };
    let router = Router::new()
        .route("/token", post(token))
        .route("/jwks", get(jwks))
        .with_state(Arc::new(ceiling));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn jwks(State(ceiling): State<Arc<Ceiling>>) -> Json<Value> {
    Json(ceiling.jwks.clone())
}

async fn token(
    State(ceiling): State<Arc<Ceiling>>,
    headers: HeaderMap,
    body: String,
) -> Result<impl IntoResponse, StatusCode> {
    let client_id = authenticate(&ceiling, &headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).collect();
    let asked = |name: &str| form.get(name).map(|value| &**value);
    let Settings {
        resource,
        scope,
        lifetime,
        ..
    } = &ceiling.settings;
    let right = asked("grant_type") == Some("client_credentials")
        && asked("resource") == Some(resource)
        && asked("scope") == Some(scope);
    if !right {
        return Err(StatusCode::BAD_REQUEST);
    }
    let answer = TokenAnswer {
        access_token: ceiling
            .mint
            .token(&client_id, resource, scope, *lifetime, Now::read().s())
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?,
        token_type: "Bearer",
        expires_in: *lifetime,
        scope,
    };
    // Serialized here, where the scope is borrowed.
    let answer = Json(answer).into_response();
    Ok(([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], answer))
}

/// HTTP Basic (RFC 7617).
fn authenticate(ceiling: &Ceiling, headers: &HeaderMap) -> Option<String> {
    let basic = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let basic = STANDARD.decode(basic.strip_prefix("Basic ")?).ok()?;
    let basic = String::from_utf8(basic).ok()?;
    let (id, secret) = basic.split_once(':')?;
    let presented = digest(&SHA256, secret.as_bytes());
    let stored = ceiling.secrets.get(id)?;
    verify_slices_are_equal(presented.as_ref(), stored.as_ref()).ok()?;
    Some(id.to_owned())
}
