//! What the edge itself answers.

use agentidp_verify::Rejected;
use worker::{Headers, Response, ResponseBuilder};

use crate::admit::Admitted;

/// The headers that tell who is calling. No caller can set them: see
/// [`crate::forward`].
pub(crate) const IDENTITY: [&str; 3] = ["X-Agent-Id", "X-Org-Id", "X-Scope"];

/// Who is calling, in the order of [`IDENTITY`].
pub(crate) fn identify(admitted: &Admitted, headers: &Headers) -> worker::Result<()> {
    let claims = admitted.token.claims();
    for (name, value) in IDENTITY
        .iter()
        .zip([&claims.sub, &claims.org_id, &claims.scope])
    {
        headers.set(name, value)?;
    }
    Ok(())
}

/// What the minute has left.
pub(crate) fn show_limit(admitted: &Admitted, headers: &Headers) -> worker::Result<()> {
    for (name, value) in admitted.spent.iter().flat_map(|spent| spent.headers()) {
        headers.set(name, &value)?;
    }
    Ok(())
}

/// 200 for a gateway: the identity in headers, the claims in the body.
pub(crate) fn verified(admitted: &Admitted) -> worker::Result<Response> {
    let headers = Headers::new();
    identify(admitted, &headers)?;
    show_limit(admitted, &headers)?;
    json(200, admitted.token.payload().as_bytes().to_vec(), headers)
}

/// 401, 403, 429 or 503.
pub(crate) fn refuse(rejected: &Rejected) -> worker::Result<Response> {
    let wire = rejected.wire();
    let headers = Headers::new();
    for (name, value) in wire.headers() {
        headers.set(name, &value)?;
    }
    json(wire.status, wire.body().to_string().into_bytes(), headers)
}

/// 404: there is no origin behind this edge.
pub(crate) fn not_found() -> worker::Result<Response> {
    let body = br#"{"code":"NOT_FOUND","message":"There is nothing here."}"#;
    json(404, body.to_vec(), Headers::new())
}

/// 400: what this is cannot be passed on as one request.
pub(crate) fn unreadable() -> worker::Result<Response> {
    let body = br#"{"code":"INVALID_REQUEST","message":"The request cannot be forwarded."}"#;
    json(400, body.to_vec(), Headers::new())
}

/// 502: the origin cannot be reached.
pub(crate) fn no_origin() -> worker::Result<Response> {
    let body = br#"{"code":"BAD_GATEWAY","message":"The origin cannot be reached."}"#;
    json(502, body.to_vec(), Headers::new())
}

/// 503: a variable is missing; the Worker's log says which.
pub(crate) fn misconfigured() -> worker::Result<Response> {
    refuse(&Rejected::Unavailable {
        reason: "The edge is not configured.",
    })
}

fn json(status: u16, body: Vec<u8>, headers: Headers) -> worker::Result<Response> {
    headers.set("Content-Type", "application/json")?;
    headers.set("Cache-Control", "no-store")?;
    Ok(ResponseBuilder::new()
        .with_status(status)
        .with_headers(headers)
        .fixed(body))
}
