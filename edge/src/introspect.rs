//! `POST /introspect`, RFC 7662, for resource servers that have a secret at this edge
//! (`INTROSPECTION_CLIENTS`). It spends nobody's minute. Of whatever is not good here,
//! now and for them they learn nothing but that.

use agentidp_gateway::Away;
use agentidp_gateway::introspection::{Client, LONGEST_FORM, active, token};
use agentidp_verify::Rejected;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wasm_bindgen::JsValue;
use web_sys::Response;
use worker::Headers;

use crate::body::whole;
use crate::call::Call;
use crate::{answer, feed, tokens};

/// Where it is.
pub(crate) const INTROSPECT: &str = "/introspect";

/// Answers a resource server.
pub(crate) async fn introspect(call: &Call<'_>) -> Result<Response, JsValue> {
    let Some(clients) = &call.settings.introspection else {
        return answer::not_found();
    };
    if call.request.method() != "POST" {
        return answer::not_allowed("POST");
    }
    let sha256 = |secret: &[u8]| -> [u8; 32] { Sha256::digest(secret).into() };
    let Some(client) = clients.authenticate(call.authorization, sha256) else {
        let headers = Headers::new();
        headers.set(
            "WWW-Authenticate",
            r#"Basic realm="agentidp", charset="UTF-8""#,
        )?;
        let said = "The client could not be authenticated.";
        return oauth(401, ("invalid_client", "UNAUTHORIZED"), said, headers);
    };
    let invalid = |said| {
        oauth(
            400,
            ("invalid_request", "INVALID_REQUEST"),
            said,
            Headers::new(),
        )
    };
    let kind = call.request.headers().get("content-type").ok().flatten();
    let kind = kind.as_deref().and_then(|kind| kind.split(';').next());
    if !kind.is_some_and(|kind| {
        kind.trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }) {
        return invalid("The body must be a form.");
    }
    let Ok(form) = whole(call.request, LONGEST_FORM).await else {
        return invalid("The body broke off.");
    };
    let Some(form) = form else {
        return answer::too_large();
    };
    match token(&form.to_vec()) {
        Err(why) => invalid(why),
        Ok(token) => match look(call, client, &token).await {
            Ok(Some(claims)) => answer::json(200, claims.to_string().into_bytes(), Headers::new()),
            Ok(None) => answer::json(200, br#"{"active":false}"#.to_vec(), Headers::new()),
            Err(unavailable) => answer::refuse_plainly(&unavailable),
        },
    }
}

/// What `client` is told of `token`; `None` where it is not good.
///
/// # Errors
/// [`Rejected::Unavailable`]: nobody knows.
async fn look(call: &Call<'_>, client: &Client, token: &str) -> Result<Option<Value>, Rejected> {
    let reached = feed::freshen(call.settings, call.context, Away::Refuse).await;
    let kept = match tokens::verify(call.settings, token).await {
        Ok(kept) => kept,
        Err(unavailable @ Rejected::Unavailable { .. }) => return Err(unavailable),
        Err(_) => return Ok(None),
    };
    reached?;
    let verified = kept.verified();
    if feed::gate(verified, &[]) == Err(Rejected::Revoked) {
        feed::freshen_to_refuse(call.settings, Away::Refuse).await?;
    }
    feed::still_fresh(Away::Refuse)?;
    let good = feed::gate(verified, &[]).is_ok() && client.may_see(&verified.claims().aud);
    Ok(good.then(|| active(verified.payload())))
}

/// An error of OAuth, RFC 6749 §5.2, with the API's words beside it.
fn oauth(
    status: u16,
    (error, code): (&str, &str),
    said: &str,
    headers: Headers,
) -> Result<Response, JsValue> {
    let body = json!({ "error": error, "error_description": said, "code": code, "message": said });
    answer::json(status, body.to_string().into_bytes(), headers)
}
