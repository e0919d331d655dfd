//! The token endpoint, handed through to the core (`TOKEN_PASS_THROUGH`): the body as
//! it is, the headers that matter, the caller's address. An address that asks too
//! often is refused here.

use std::net::IpAddr;

use agentidp_gateway::address;
use js_sys::Reflect;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::call::Call;
use crate::{address_limit, answer, glue};

/// The core's path.
pub(crate) const PATH: &str = "/api/v1/token";
/// By this Cloudflare says who is calling. Elsewhere any caller can send it.
const CLOUDFLARE: &str = "CF-Connecting-IP";
/// The most bytes of a body, the core's own limit.
const MOST_BYTES: u32 = 64 << 10;
/// How long the core may take, in milliseconds: longer than it gives itself.
const PATIENCE_MS: u32 = 5_000;

/// Passes a token request on.
pub(crate) async fn pass(call: &Call<'_>) -> Result<Response, JsValue> {
    call.line.route(PATH);
    if call.request.method() != "POST" {
        return answer::not_allowed("POST");
    }
    let settings = call.settings;
    let address = address_of(call)?;
    // All who cannot be told apart are one.
    let counted = address.map_or_else(|| "unknown".to_owned(), address::counted_as);
    match address_limit::count(call.env, &counted, settings.token_requests_per_minute).await {
        Ok(None) => {}
        Ok(Some(seconds)) => return answer::too_many(seconds),
        Err(error) => {
            worker::console_error!("address limit: {error}");
            return answer::unavailable("The limits cannot be reached at the moment.");
        }
    }
    let url = format!("{}{PATH}", settings.core_url);
    let address = address.map(|address| address.to_string());
    let handed = glue::hand_through(
        call.request,
        &url,
        address.as_deref(),
        MOST_BYTES,
        PATIENCE_MS,
    );
    match JsFuture::from(handed?).await {
        Ok(response) if !response.is_undefined() => {
            call.line.passed_on();
            response.dyn_into()
        }
        Ok(_) => answer::too_large(),
        Err(error) => {
            worker::console_error!("token endpoint: {}", glue::message(&error));
            answer::unavailable("The issuer cannot be reached at the moment.")
        }
    }
}

/// The caller's address, as far as somebody tells it who can be believed.
fn address_of(call: &Call<'_>) -> Result<Option<IpAddr>, JsValue> {
    let header = match call.settings.client_address_header.as_deref() {
        Some(header) => header,
        None if is_on_cloudflare(call)? => CLOUDFLARE,
        None => return Ok(None),
    };
    let sent = call.request.headers().get(header)?;
    Ok(sent.as_deref().and_then(address::read))
}

/// Cloudflare tells where a request came in; workerd alone tells nothing.
fn is_on_cloudflare(call: &Call<'_>) -> Result<bool, JsValue> {
    let cf = Reflect::get(call.request, &"cf".into())?;
    Ok(cf.is_object() && Reflect::get(&cf, &"colo".into())?.is_string())
}
