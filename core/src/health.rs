//! `GET /health`: the process lives. `GET /ready`: it can serve, or why not.
//! `GET /metrics`: what Prometheus reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::app::App;
use crate::clock::Now;
use crate::config;
use crate::error::Failure;
use crate::migrate;

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most that an answer of ours has, in bytes.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// When the parts were last looked at, and what was missing. Nobody limits the
/// probes, so there is one look at a time, and whoever came before it began shares
/// what it finds.
#[derive(Debug, Default)]
pub struct Looked(Mutex<Option<(Instant, Option<&'static str>)>>);

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let missing = tokio::time::timeout(PATIENCE * 3 / 2, look(&app, Instant::now())).await;
    let missing = missing.unwrap_or(Some("A part did not answer in time."));
    match missing {
        None => (StatusCode::OK, Json(json!({ "status": "ok" }))),
        Some(reason) => unready(reason),
    }
}

pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
) -> Result<([(HeaderName, &'static str); 1], String), Failure> {
    let (active, waiting) = (app.database.active(), app.database.waiting());
    let text = app.metrics.text(active, waiting);
    let text = text.map_err(Failure::internal)?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}

fn unready(reason: &str) -> (StatusCode, Json<Value>) {
    let body = json!({ "status": "unavailable", "code": "SERVICE_UNAVAILABLE", "message": reason });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// What a look finds that began after the asker `came`.
async fn look(app: &App, came: Instant) -> Option<&'static str> {
    let mut last = app.looked.0.lock().await;
    if let Some((began, missing)) = *last
        && began >= came
    {
        return missing;
    }
    let began = Instant::now();
    let missing = missing(app).await;
    *last = Some((began, missing));
    missing
}

/// The first part that is not there. The keys are: without them nothing started.
async fn missing(app: &App) -> Option<&'static str> {
    match tokio::time::timeout(PATIENCE, migrate::is_current(&app.database)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            return Some("The database has not been migrated: run `agentidp migrate`.");
        }
        Ok(Err(_)) | Err(_) => return Some("The database cannot be reached."),
    }
    match tokio::time::timeout(PATIENCE, app.hot.exists("ready", Now::read())).await {
        Ok(Ok(_)) => None,
        Ok(Err(_)) | Err(_) => Some("Redis cannot be reached."),
    }
}

/// Asks the service that listens on `PORT` of this machine.
///
/// # Errors
/// What it says is wrong, or that nobody answers.
pub async fn ask(live: bool) -> Result<(), String> {
    let vars = config::environment();
    let set = |name: &str| vars.get(name).filter(|value| !value.is_empty());
    let port = set("PORT").map_or("3000", String::as_str);
    let host = match set("HOST").map(String::as_str) {
        None | Some("0.0.0.0") => "127.0.0.1".to_owned(),
        Some("::") => "[::1]".to_owned(),
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => host.to_owned(),
    };
    let path = if live { "/health" } else { "/ready" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let asked = async {
        let mut stream = TcpStream::connect(format!("{host}:{port}")).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream
            .take(LONGEST_ANSWER)
            .read_to_string(&mut answer)
            .await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE * 3, asked)
        .await
        .map_err(|_| "it does not answer in time".to_owned())?
        .map_err(|error| format!("nobody answers on port {port}: {error}"))?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Err(body.to_owned())
}
