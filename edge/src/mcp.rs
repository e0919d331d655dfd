//! What a call of an MCP server needs beside its route's scopes: its body is read, and
//! judged by the route's rules (`agentidp_gateway::mcp`). The token comes first: who
//! has none makes nobody read anything.

use std::borrow::Cow;

use agentidp_gateway::Route;
use agentidp_gateway::mcp::{
    Announced, LONGEST_BODY, METHODS, Refusal, Treatment, is_json, treatment,
};
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::Response;

use crate::admit;
use crate::answer;
use crate::body::whole;
use crate::call::{Call, Needs};

/// A call that was looked at.
pub(crate) struct Examined<'a> {
    /// All that it needs.
    pub(crate) needs: Needs<'a>,
    /// The body, where it was read: these bytes go on, and no others.
    pub(crate) body: Option<Uint8Array>,
}

/// Looks at what `call` brings for `route` by `method`. A route without rules for MCP
/// changes nothing.
///
/// # Errors
/// The answer to a call that goes nowhere.
pub(crate) async fn examine<'a>(
    call: &Call<'_>,
    route: &'a Route,
    method: &str,
    has_body: bool,
    needs: Needs<'a>,
) -> Result<Examined<'a>, Result<Response, JsValue>> {
    let Some(rules) = &route.mcp else {
        return Ok(Examined { needs, body: None });
    };
    match treatment(method, has_body) {
        Treatment::Pass => return Ok(Examined { needs, body: None }),
        Treatment::Unreadable => return Err(answer::unreadable()),
        Treatment::NotAllowed => return Err(answer::not_allowed(METHODS)),
        Treatment::Read => {}
    }
    let known = admit::known(call, &needs).await;
    known.map_err(|rejected| answer::refuse(call, &rejected, &needs))?;

    let header = |name: &str| call.request.headers().get(name).ok().flatten();
    let json = header("content-type").is_some_and(|value| is_json(&value));
    if !json || header("content-encoding").is_some() {
        return Err(answer::invalid("The body must be application/json."));
    }
    let body = whole(call.request, LONGEST_BODY)
        .await
        .map_err(|()| answer::unreadable())?;
    let Some(body) = body else {
        return Err(answer::too_large());
    };
    let (method, name) = (header("mcp-method"), header("mcp-name"));
    let announced = Announced {
        method: method.as_deref(),
        name: name.as_deref(),
    };
    let bytes = body.to_vec();
    let more = rules
        .needed(&bytes, announced)
        .map_err(|refusal| match refusal {
            Refusal::Unreadable(why) => answer::invalid(why),
            Refusal::NotAllowed(why) => answer::forbidden(why),
        })?;
    let mut scopes = needs.scopes.into_owned();
    for scope in more {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    let needs = Needs {
        scopes: Cow::Owned(scopes),
        ..needs
    };
    Ok(Examined {
        needs,
        body: Some(body),
    })
}
