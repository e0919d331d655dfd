//! `GET /health`: the process lives. `GET /ready`: it can serve, or why not.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::App;
use crate::clock::Now;
use crate::migrate;

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    match tokio::time::timeout(PATIENCE * 3 / 2, missing(&app)).await {
        Ok(None) => (StatusCode::OK, Json(json!({ "status": "ok" }))),
        Ok(Some(reason)) => unready(reason),
        Err(_) => unready("A part did not answer in time."),
    }
}

fn unready(reason: &str) -> (StatusCode, Json<Value>) {
    let body = json!({ "status": "unavailable", "code": "SERVICE_UNAVAILABLE", "message": reason });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// The first part that is not there. The keys are: without them nothing started.
async fn missing(app: &App) -> Option<&'static str> {
    match tokio::time::timeout(PATIENCE, migrate::is_current(&app.pool)).await {
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
