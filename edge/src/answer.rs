//! What the edge itself answers.

use agentidp_verify::{Hints, Rejected};
use wasm_bindgen::JsValue;
use web_sys::Response;
use worker::{Headers, ResponseBuilder};

use crate::admit::{Admitted, DAY_MS};
use crate::call::{Call, Needs};
use crate::{feed, glue, metadata};

/// The headers that tell who is calling. No caller can set them: see
/// [`crate::forward`].
pub(crate) const IDENTITY: [&str; 3] = ["X-Agent-Id", "X-Org-Id", "X-Scope"];

/// 200 for a gateway: the identity in headers, the claims in the body.
pub(crate) fn verified(admitted: &Admitted) -> Result<Response, JsValue> {
    let (figures, age) = (admitted.figures(), admitted.revocation_age());
    let [verify, limit] = admitted.took();
    admitted.token.show(|shown| {
        let (agent, org, scope) = (&shown.agent, &shown.org, &shown.scope);
        glue::verified(
            &shown.payload,
            agent,
            org,
            scope,
            &figures,
            age,
            verify,
            limit,
        )
    })
}

/// 400, 401, 403, 429 or 503, with what a client needs to do better.
pub(crate) fn refuse(
    call: &Call<'_>,
    rejected: &Rejected,
    needs: &Needs<'_>,
) -> Result<Response, JsValue> {
    let mut url = String::new();
    refusal(rejected, metadata::hints(call, needs, &mut url))
}

/// The same where no call is judged.
pub(crate) fn refuse_plainly(rejected: &Rejected) -> Result<Response, JsValue> {
    refusal(rejected, Hints::default())
}

fn refusal(rejected: &Rejected, hints: Hints<'_>) -> Result<Response, JsValue> {
    let wire = rejected.wire_with(hints);
    let headers = Headers::new();
    for (name, value) in wire.headers() {
        headers.set(name, &value)?;
    }
    if let Some((name, spent, left_s)) = rejected.limit() {
        let length_s = match name {
            "day" => DAY_MS / 1_000,
            _ => feed::window_ms().div_ceil(1_000),
        };
        let policy = format!(r#""{name}";q={};w={length_s}"#, spent.limit);
        headers.set("RateLimit-Policy", &policy)?;
        let rest = format!(r#""{name}";r={};t={left_s}"#, spent.remaining());
        headers.set("RateLimit", &rest)?;
    }
    json(wire.status, wire.body().to_string().into_bytes(), headers)
}

/// 404: no origin has this path.
pub(crate) fn not_found() -> Result<Response, JsValue> {
    let body = br#"{"code":"NOT_FOUND","message":"There is nothing here."}"#;
    json(404, body.to_vec(), Headers::new())
}

/// 400: what this is cannot be passed on as one request.
pub(crate) fn unreadable() -> Result<Response, JsValue> {
    let body = br#"{"code":"INVALID_REQUEST","message":"The request cannot be forwarded."}"#;
    json(400, body.to_vec(), Headers::new())
}

/// 400: what this is, nobody can judge.
pub(crate) fn invalid(why: &str) -> Result<Response, JsValue> {
    let body = serde_json::json!({ "code": "INVALID_REQUEST", "message": why });
    json(400, body.to_string().into_bytes(), Headers::new())
}

/// 403, whatever the token allows.
pub(crate) fn forbidden(why: &str) -> Result<Response, JsValue> {
    let body = serde_json::json!({ "code": "FORBIDDEN", "message": why });
    json(403, body.to_string().into_bytes(), Headers::new())
}

/// 413: a body that would have to be read is too long for that.
pub(crate) fn too_large() -> Result<Response, JsValue> {
    let body = br#"{"code":"PAYLOAD_TOO_LARGE","message":"The body is too large."}"#;
    json(413, body.to_vec(), Headers::new())
}

/// 429: the caller's address has asked too often.
pub(crate) fn too_many(retry_after_s: u64) -> Result<Response, JsValue> {
    let body = br#"{"code":"RATE_LIMIT_EXCEEDED","message":"There were too many requests from this address."}"#;
    let headers = Headers::new();
    headers.set("Retry-After", &retry_after_s.to_string())?;
    json(429, body.to_vec(), headers)
}

/// 503: it is worth trying again.
pub(crate) fn unavailable(reason: &'static str) -> Result<Response, JsValue> {
    refuse_plainly(&Rejected::Unavailable { reason })
}

/// What `/health` and `/ready` say.
pub(crate) fn status(status: u16, word: &str, reason: Option<&str>) -> Result<Response, JsValue> {
    let mut body = serde_json::json!({ "status": word });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    json(status, body.to_string().into_bytes(), Headers::new())
}

/// 405: there are these methods.
pub(crate) fn not_allowed(methods: &str) -> Result<Response, JsValue> {
    let body = br#"{"code":"METHOD_NOT_ALLOWED","message":"The method is not allowed here."}"#;
    let headers = Headers::new();
    headers.set("Allow", methods)?;
    json(405, body.to_vec(), headers)
}

/// 502: the origin cannot be reached.
pub(crate) fn no_origin() -> Result<Response, JsValue> {
    let body = br#"{"code":"BAD_GATEWAY","message":"The origin cannot be reached."}"#;
    json(502, body.to_vec(), Headers::new())
}

/// 503: a variable is missing; the Worker's log says which.
pub(crate) fn misconfigured() -> Result<Response, JsValue> {
    unavailable("The edge is not configured.")
}

/// An answer in JSON.
pub(crate) fn json(status: u16, body: Vec<u8>, headers: Headers) -> Result<Response, JsValue> {
    headers.set("Content-Type", "application/json")?;
    headers.set("Cache-Control", "no-store")?;
    let answer = ResponseBuilder::new()
        .with_status(status)
        .with_headers(headers);
    Ok(answer.fixed(body).into())
}
