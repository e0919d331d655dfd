//! Answers a gateway that asks at `/verify`: 200 with the caller's identity, or what
//! the gateway is to tell the caller.

use agentidp_gateway::forward_auth::{Original, original};
use agentidp_gateway::{Found, Path};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use wasm_bindgen::JsValue;
use web_sys::Response;

use crate::admit::admit;
use crate::answer;
use crate::call::{Call, Needs};
use crate::log::Logged;
use crate::mcp;

/// Where gateways ask.
pub(crate) const VERIFY: &str = "/verify";
/// By which the edge knows its gateway.
pub(crate) const SECRET: &str = "X-Gateway-Secret";

/// Whether `path` is a gateway's question.
pub(crate) fn is_question(path: &str) -> bool {
    path.strip_prefix(VERIFY)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether this is a gateway's question whose path led out of [`VERIFY`] on its way here:
/// as another request it would be answered with something else than a judgement.
pub(crate) fn has_lost_its_way(call: &Call<'_>) -> bool {
    let asked = || call.request.headers().has(SECRET).unwrap_or(true);
    call.settings.gateway_secret.is_some() && asked()
}

/// Answers it.
pub(crate) async fn verify(call: &Call<'_>) -> Result<Response, JsValue> {
    if !from_the_gateway(call) {
        worker::console_error!("gateway: a question at /verify without its secret");
        return answer::forbidden("Only the gateway may ask here.");
    }
    if !call.settings.routes_are_given {
        // One rule for all: what is asked about makes no difference.
        return admitted(call, &Needs::of_any(call.settings)).await;
    }
    let rest = call.path.as_str().strip_prefix(VERIFY).unwrap_or_default();
    let below = match call.query {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let header = |name: &str| call.request.headers().get(name).ok().flatten();
    match original(&call.request.method(), &below, header) {
        Ok(Some(original)) => judge(call, &original).await,
        Ok(None) => {
            worker::console_error!("gateway: it does not state the request that it asks about");
            answer::invalid("The gateway must state the original method and URI.")
        }
        Err(unclear) => {
            worker::console_error!("gateway: {}", unclear.0);
            answer::invalid(unclear.0)
        }
    }
}

/// By the route that the original request takes.
async fn judge(call: &Call<'_>, original: &Original) -> Result<Response, JsValue> {
    let (path, query) = match original.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (original.target.as_str(), None),
    };
    let Some(path) = Path::read(path) else {
        return answer::unreadable();
    };
    let call = &Call {
        path: &path,
        query,
        ..*call
    };
    let route = match call.settings.routes.find(&path) {
        Found::Route(route) => route,
        Found::Nowhere => return answer::not_found(),
        Found::Doubtful => return answer::unreadable(),
    };
    if call.settings.logged != Logged::Nothing {
        call.line.route(&route.path);
    }
    let needs = match Needs::of(route, &original.method) {
        Ok(needs) => needs,
        Err(methods) => return answer::not_allowed(&methods.0),
    };
    match mcp::examine(call, route, &original.method, brings_more(call), needs).await {
        Ok(examined) => admitted(call, &examined.needs).await,
        Err(answer) => answer,
    }
}

/// Whether the question tells of a body, or of a WebSocket: few gateways send bodies
/// along, and the original's headers may be all that is there of it.
fn brings_more(call: &Call<'_>) -> bool {
    let header = |name: &str| call.request.headers().get(name).ok().flatten();
    header("content-length").is_some_and(|length| length.trim() != "0")
        || header("transfer-encoding").is_some()
        || header("upgrade").is_some()
}

async fn admitted(call: &Call<'_>, needs: &Needs<'_>) -> Result<Response, JsValue> {
    match admit(call, needs).await {
        Ok(admitted) => {
            call.line.passed_on();
            answer::verified(&admitted)
        }
        Err(rejected) => answer::refuse(call, &rejected, needs),
    }
}

/// Whether the question has `GATEWAY_SECRET`, where there is one. Digests are compared,
/// in constant time.
fn from_the_gateway(call: &Call<'_>) -> bool {
    let Some(expected) = &call.settings.gateway_secret else {
        return true;
    };
    let given = call.request.headers().get(SECRET).ok().flatten();
    let digest = |secret: &str| -> [u8; 32] { Sha256::digest(secret.as_bytes()).into() };
    given.is_some_and(|given| digest(&given).ct_eq(&digest(expected)).into())
}
