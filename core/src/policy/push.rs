//! `agentidp policy push`: the upload, as any client would make it.

use std::collections::BTreeMap;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

type Outcome = Result<Value, Box<dyn std::error::Error>>;

/// Uploads the module and moves the version on to `to`, `shadow` or `activate`.
pub(super) async fn push(
    module: Vec<u8>,
    settings: &BTreeMap<String, String>,
    claims: &[String],
    to: Option<&str>,
) -> Outcome {
    let url = required("AGENTIDP_URL")?;
    let url = url.trim_end_matches('/');
    let org_id = required("AGENTIDP_ORG_ID")?;
    let (id, secret) = (
        required("AGENTIDP_ADMIN_CLIENT_ID")?,
        required("AGENTIDP_ADMIN_CLIENT_SECRET")?,
    );
    let http = Client::new();
    let asked = http
        .post(format!("{url}/api/v1/token"))
        .basic_auth(id, Some(secret))
        .form(&[
            ("grant_type", "client_credentials"),
            ("scope", "policies:read policies:write"),
        ]);
    let token = send(asked).await?;
    let token = token["access_token"].as_str().unwrap_or_default();
    let form = Form::new()
        .part("module", Part::bytes(module))
        .text("settings", json!(settings).to_string())
        .text("claims", json!(claims).to_string());
    let policy = format!("{url}/api/v1/tenants/{org_id}/policy");
    let version = send(http.put(&policy).bearer_auth(token).multipart(form)).await?;
    let (Some(to), Some(digest)) = (to, version["digest"].as_str()) else {
        return Ok(version);
    };
    let moved = format!("{policy}/versions/{digest}/{to}");
    send(http.post(moved).bearer_auth(token).json(&json!({}))).await
}

fn required(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} environment variable is required"))
}

/// What was answered, which must be a success.
async fn send(request: RequestBuilder) -> Outcome {
    let answer = request.send().await?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let message = body["message"].as_str().unwrap_or_default();
    let details = body
        .get("details")
        .map_or(String::new(), |details| format!(" {details}"));
    Err(format!("{status}: {message}{details}").into())
}
