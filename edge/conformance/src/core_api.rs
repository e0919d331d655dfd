//! What is asked of the core: tokens, and their revocation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::target::{Client, Core};
use crate::wire::{Answer, Server};

/// RFC 6749 §4.4 with RFC 8707: the answer, whatever it is.
async fn ask_token(
    core: &Core,
    client: &Client,
    scope: Option<&str>,
    resource: Option<&str>,
) -> Result<Answer, String> {
    let optional = [("scope", scope), ("resource", resource)];
    let given = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let form = Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .extend_pairs(given)
        .finish();
    post(core, client, "/api/v1/token", &form).await
}

/// A token for the target's resource.
pub(crate) async fn token(
    core: &Core,
    client: &Client,
    scope: Option<&str>,
) -> Result<String, String> {
    let answer = ask_token(core, client, scope, core.resource.as_deref()).await?;
    let body = answer.json();
    let token = body["access_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| {
        let (status, error) = (answer.status, &body["error"]);
        format!("the core gave no token: {status} {error}")
    })
}

/// A token for another audience, if the client may have one.
pub(crate) async fn token_for(core: &Core, resource: &str) -> Result<Option<String>, String> {
    let answer = ask_token(core, &core.client, None, Some(resource)).await?;
    Ok(answer.json()["access_token"].as_str().map(str::to_owned))
}

/// RFC 7009.
pub(crate) async fn revoke(core: &Core, token: &str) -> Result<(), String> {
    let form = Serializer::new(String::new())
        .append_pair("token", token)
        .finish();
    let answer = post(core, &core.client, "/api/v1/token/revoke", &form).await?;
    match answer.status {
        200 => Ok(()),
        status => Err(format!("the core answered a revocation with {status}")),
    }
}

/// The key of that `kid`, as the core publishes it.
pub(crate) async fn published_key(core: &Core, kid: &Value) -> Result<Option<Value>, String> {
    let server = Server::at(&core.url)?;
    let set = server
        .ask("GET", "/.well-known/jwks.json", &[], b"")
        .await?
        .json();
    let mut keys = set["keys"].as_array().into_iter().flatten();
    Ok(keys.find(|key| key["kid"] == *kid).cloned())
}

async fn post(core: &Core, client: &Client, path: &str, form: &str) -> Result<Answer, String> {
    let basic = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    let headers = [
        ("Authorization", &*format!("Basic {basic}")),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", &*form.len().to_string()),
    ];
    let server = Server::at(&core.url)?;
    server.ask("POST", path, &headers, form.as_bytes()).await
}
