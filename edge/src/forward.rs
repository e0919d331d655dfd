//! Passes a request on to the origin: the same method, path, query and body, and
//! the caller's identity in headers that were taken from the caller first. What
//! two readers could take for two different requests is not passed on at all.

use std::collections::HashSet;
use std::rc::Rc;

use js_sys::{Array, JSON, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response};

use agentidp_gateway::{Found, Route};

use crate::admit::{Admitted, admit};
use crate::answer::{self, IDENTITY};
use crate::call::{Call, Needs};
use crate::glue::{self, Exchange};
use crate::log::Logged;
use crate::mcp::{self, Examined};
use crate::watch::{self, Watched};

/// A binding of `wrangler.toml` (`mtls_certificates`): origins are asked by it, with
/// the edge's certificate.
const MTLS: &str = "ORIGIN";

/// Names that say who is calling, or by which edge: no caller sets them.
const OURS: [&str; 2] = ["X-Edge-Secret", "X-Revocation-Age"];

/// By which some origins take another method or path than what was judged.
const OVERRIDES: [&str; 5] = [
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
];

/// Admits a call by what its route needs, and passes it on to the route's origin.
pub(crate) async fn by_route(call: &Call<'_>) -> Result<Response, JsValue> {
    let route = match call.settings.routes.find(call.path) {
        Found::Route(route) => route,
        Found::Nowhere => return answer::not_found(),
        Found::Doubtful => return answer::unreadable(),
    };
    if call.settings.logged != Logged::Nothing {
        call.line.route(&route.path);
    }
    let Some(origin) = &route.origin else {
        return answer::not_found();
    };
    let Some(passable) = look(origin, call, route) else {
        return answer::unreadable();
    };
    let needs = match Needs::of(route, &passable.method) {
        Ok(needs) => needs,
        Err(methods) => return answer::not_allowed(&methods.0),
    };
    // A WebSocket's messages would be a body that nobody looks at.
    let (method, brings) = (&passable.method, passable.has_body || passable.upgrade);
    let Examined { needs, body } = match mcp::examine(call, route, method, brings, needs).await {
        Ok(examined) => examined,
        Err(answer) => return answer,
    };
    match admit(call, &needs).await {
        Ok(admitted) => forward(call, &passable, body, &needs, &admitted).await,
        Err(rejected) => answer::refuse(call, &rejected, &needs),
    }
}

/// A request that can be passed on as one request.
struct Passable {
    url: String,
    method: String,
    framing: Framing,
    /// Whether its head says that a body follows.
    has_body: bool,
    /// Whether it asks for a WebSocket.
    upgrade: bool,
    pairs: Array,
    /// Which of the pairs are not passed on.
    dropped: Vec<u32>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none.
    Bodiless,
    /// By its length: one that is cut short is cut short for the origin too.
    Length,
    /// By its last chunk.
    Chunks,
}

/// Looks at a request before anybody is asked to admit it. `None` where it cannot
/// be passed on: a GET or HEAD with a body; a body that ends in two ways; headers
/// that are none; a method that is about connections.
fn look(origin: &str, call: &Call<'_>, route: &Route) -> Option<Passable> {
    let method = call.request.method();
    if matches!(method.as_str(), "TRACE" | "CONNECT") {
        return None;
    }
    let pairs = glue::pairs(call.request);
    let text = String::from(JSON::stringify(&pairs).ok()?);
    let headers: Vec<(String, String)> = serde_json::from_str(&text).ok()?;
    let framing = framing(&method, &headers)?;
    let has_body = headers.iter().any(|(name, value)| {
        name == "transfer-encoding" || (name == "content-length" && value != "0")
    });
    if !headers.iter().all(|(name, value)| is_header(name, value)) {
        return None;
    }
    let upgrade = method == "GET"
        && headers
            .iter()
            .any(|(name, value)| name == "upgrade" && value.eq_ignore_ascii_case("websocket"));
    let path = call.path.as_str();
    Some(Passable {
        upgrade,
        url: match call.query {
            Some(query) => format!("{origin}{path}?{query}"),
            None => format!("{origin}{path}"),
        },
        method,
        framing,
        has_body,
        dropped: dropped(&headers, route),
        pairs,
    })
}

/// RFC 9112 §6.3; `None` where a reader could find another end than workerd does.
fn framing(method: &str, headers: &[(String, String)]) -> Option<Framing> {
    let header = |wanted: &str| {
        let mut found = headers.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.as_str())
    };
    let bodiless = matches!(method, "GET" | "HEAD");
    match (header("content-length"), header("transfer-encoding")) {
        (None, None) if bodiless => Some(Framing::Bodiless),
        (Some("0"), None) if bodiless => Some(Framing::Bodiless),
        (None, None) => Some(Framing::Length),
        (Some(length), None) if !bodiless => {
            let number = length.parse::<u64>();
            let plain = number.is_ok_and(|number| number.to_string() == length);
            plain.then_some(Framing::Length)
        }
        (None, Some(coding)) if !bodiless => {
            let chunked = coding.eq_ignore_ascii_case("chunked");
            chunked.then_some(Framing::Chunks)
        }
        _ => None,
    }
}

/// RFC 9110 §5.1 and §5.5: workerd lets more through.
fn is_header(name: &str, value: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    name.bytes().all(is_token) && !value.chars().any(|c| c.is_control() && c != '\t')
}

/// Which headers are not passed on: the caller's identity, what is between two
/// neighbours, and what `Connection` says is (RFC 9110 §7.6.1).
fn dropped(headers: &[(String, String)], route: &Route) -> Vec<u32> {
    // A set: each of thousands of headers may be looked for among tens of thousands.
    let nominated: HashSet<String> = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let stays = |name: &String| {
        !is_ours(name)
            && !is_of_the_connection(name)
            && !nominated.contains(name)
            && (route.keeps_authorization || name != "authorization")
    };
    (0..)
        .zip(headers)
        .filter(|(_, (name, _))| !stays(name))
        .map(|(at, _)| at)
        .collect()
}

/// Sends the request to the origin and hands its answer back. What takes longer is
/// looked after until it ends.
async fn forward(
    call: &Call<'_>,
    passable: &Passable,
    read: Option<Uint8Array>,
    needs: &Needs<'_>,
    admitted: &Admitted,
) -> Result<Response, JsValue> {
    let (method, pairs, dropped) = (&passable.method, &passable.pairs, &passable.dropped);
    let age = admitted.revocation_age();
    let init = admitted.token.show(|shown| {
        let (agent, org, scope) = (&shown.agent, &shown.org, &shown.scope);
        let secret = call.settings.origin_secret.as_deref();
        let upgrade = passable.upgrade;
        glue::onward(
            method, pairs, dropped, agent, org, scope, secret, age, upgrade,
        )
    });
    let watched = Watched::new(call, needs, &admitted.token);
    let cut = watched.cut();
    let exchange = Exchange::new(watched, watch::EVERY_MS);
    // Not by worker's own types: they turn an unknown method into GET, and panic at
    // a status that a Response cannot have.
    let sent_ms = call.line.ms();
    let answered = send(call, passable, read, &exchange, &init).await;
    let origin_ms = call.line.ms().saturating_sub(sent_ms) as f64;
    let status = answered.as_ref().map_or(0, Response::status);
    if (200..600).contains(&status) || (status == 101 && passable.upgrade) {
        let [verify_ms, limit_ms] = admitted.took();
        let (answered, figures) = (answered?, admitted.figures());
        call.line.passed_on();
        return exchange.hand_back(&answered, &figures, age, verify_ms, limit_ms, origin_ms);
    }
    exchange.end();
    if let Some(rejected) = cut.take() {
        call.line
            .decided(Some(Rc::clone(&admitted.token)), Some(&rejected));
        return answer::refuse(call, &rejected, needs);
    }
    if exchange.broken() {
        return answer::unreadable();
    }
    match answered {
        Ok(response) => worker::console_error!("origin: it answered {}", response.status()),
        Err(error) => worker::console_error!("origin: {}", glue::message(&error)),
    }
    answer::no_origin()
}

async fn send(
    call: &Call<'_>,
    passable: &Passable,
    read: Option<Uint8Array>,
    exchange: &Exchange,
    init: &RequestInit,
) -> Result<Response, JsValue> {
    let chunked = read.is_none() && passable.framing == Framing::Chunks;
    let body = match (read, passable.framing) {
        (Some(read), _) => Some(JsValue::from(read)),
        (None, Framing::Bodiless) => None,
        (None, Framing::Length | Framing::Chunks) => call.request.body().map(JsValue::from),
    };
    let fetcher = Reflect::get(call.env, &MTLS.into())?;
    let fetcher = (!fetcher.is_falsy()).then_some(&fetcher);
    let answered = exchange.send(fetcher, &passable.url, init, body.as_ref(), chunked)?;
    JsFuture::from(answered).await?.dyn_into()
}

/// What is between two neighbours, RFC 9110 §7.6.1: the edge and the origin agree
/// on their own. (An interim answer to `Expect` would stop workerd's fetch.)
fn is_of_the_connection(name: &str) -> bool {
    [
        "connection",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        // The runtime's own, for each of the two WebSockets.
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
    ]
    .iter()
    .any(|between| name.eq_ignore_ascii_case(between))
}

/// Whether `name` could be read as one that no caller sets: CGI and its heirs take an
/// underscore for a dash, and some of them any other sign too.
fn is_ours(name: &str) -> bool {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    IDENTITY
        .iter()
        .chain(&OURS)
        .chain(&OVERRIDES)
        .any(|ours| ours.eq_ignore_ascii_case(&dashed))
}
