//! Whether the edge lives, and whether it is ready for calls.

use agentidp_gateway::Away;
use wasm_bindgen::JsValue;
use web_sys::Response;

use crate::call::Call;
use crate::{answer, feed, keys};

/// `/health`: 200 once the settings are good; who asks gets here only then.
pub(crate) fn lives() -> Result<Response, JsValue> {
    answer::status(200, "ok", None)
}

/// `/ready`: 200 while the core's keys are known and the revocations are young
/// enough for a call, 503 with the reason otherwise.
pub(crate) async fn is_ready(call: &Call<'_>) -> Result<Response, JsValue> {
    let fresh = feed::freshen(call.settings, call.context, Away::Refuse).await;
    let known = keys::get(call.settings).await.map(|_| ());
    match fresh.and(known) {
        Ok(()) => answer::status(200, "ok", None),
        Err(why) => answer::status(503, "unavailable", Some(&why.to_string())),
    }
}
