//! The origin that `dev` protects: answers with the request that reached it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::DevError;

/// What the origin takes, in bytes.
const LARGEST_BODY: usize = 16 << 20;

/// Serves it on a free port of loopback.
///
/// # Errors
/// There is no free port.
pub async fn start() -> Result<SocketAddr, DevError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(DevError::new)?;
    let address = listener.local_addr().map_err(DevError::new)?;
    let router = Router::new()
        .fallback(echo)
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let mut shown: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        shown
            .entry(name.as_str())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": shown,
        "body": String::from_utf8_lossy(&body),
    }))
}
