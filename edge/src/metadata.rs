//! What the resources behind this edge say of themselves (RFC 9728): their documents,
//! and what challenges name.

use agentidp_gateway::metadata::{self, Place};
use agentidp_verify::Hints;
use wasm_bindgen::JsValue;
use web_sys::Response;
use worker::{Headers, ResponseBuilder};

use crate::answer;
use crate::call::{Call, Needs};
use crate::settings::Settings;

/// How long a document may be kept, in seconds.
const KEPT_S: u32 = 300;

/// Whether `path` is a document's place.
pub(crate) fn is_well_known(path: &str) -> bool {
    path.strip_prefix(metadata::WELL_KNOWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `GET /.well-known/oauth-protected-resource[/path]`: for everybody, and for scripts of
/// any site.
pub(crate) fn document(call: &Call<'_>) -> Result<Response, JsValue> {
    let url = call.request.url();
    let target = match call.query {
        Some(query) => format!("{}?{query}", call.path.as_str()),
        None => call.path.as_str().to_owned(),
    };
    let places = &call.settings.places;
    // A query that is nobody's own is nothing to the document.
    let found = metadata::at(places, &target, host(&url))
        .or_else(|| metadata::at(places, call.path.as_str(), host(&url)));
    let Some((_, identifier)) = found else {
        return answer::not_found();
    };
    let method = call.request.method();
    let headers = Headers::new();
    headers.set("Access-Control-Allow-Origin", "*")?;
    let (status, body) = match method.as_str() {
        // A script that sends MCP-Protocol-Version is asked about first (Fetch Standard).
        "OPTIONS" => {
            headers.set("Access-Control-Allow-Methods", "GET, HEAD")?;
            headers.set("Access-Control-Allow-Headers", "*")?;
            headers.set("Access-Control-Max-Age", &KEPT_S.to_string())?;
            (204, None)
        }
        "GET" | "HEAD" => {
            let scopes = scopes(call.settings, identifier);
            let issuer = &call.settings.expected.issuer;
            let body = metadata::document(identifier, issuer, scopes).to_string();
            headers.set("Content-Type", "application/json")?;
            headers.set("Cache-Control", &format!("public, max-age={KEPT_S}"))?;
            (200, Some(body).filter(|_| method == "GET"))
        }
        _ => return answer::not_allowed("GET, HEAD, OPTIONS"),
    };
    let answer = ResponseBuilder::new()
        .with_status(status)
        .with_headers(headers);
    Ok(match body {
        Some(body) => answer.fixed(body.into_bytes()).into(),
        None => answer.empty().into(),
    })
}

/// Every scope that some call of the resource could need.
fn scopes<'a>(settings: &'a Settings, identifier: &'a str) -> impl Iterator<Item = &'a str> {
    let of_it = move |only: Option<&str>| only.is_none_or(|only| only == identifier);
    settings
        .routes
        .iter()
        .filter(move |route| of_it(route.resource.as_deref()))
        .flat_map(|route| route.every_scope())
}

/// What a refusal of `call` says of the resource that it was for.
pub(crate) fn hints<'a>(call: &Call<'_>, needs: &'a Needs<'_>, url: &'a mut String) -> Hints<'a> {
    let places = &call.settings.places;
    let place = match (needs.resource, places.as_slice()) {
        (Some(only), _) => places.iter().find(|(_, identifier)| identifier == only),
        (None, [one]) => Some(one),
        (None, _) => metadata::covering(places, call.path.as_str(), host(&call.request.url())),
    };
    if let Some((place, _)) = place {
        *url = Place::url(place);
    }
    Hints {
        resource_metadata: Some(url.as_str()).filter(|url| !url.is_empty()),
        scopes: &needs.scopes,
    }
}

/// The host of a whole URL, with its port where there is one.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
