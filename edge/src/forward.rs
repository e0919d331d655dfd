//! Passes a request on to the origin: the same method, path, query and body, and
//! the caller's identity in headers that were taken from the caller first. What
//! two readers could take for two different requests is not passed on at all.

use js_sys::{Array, Function, JSON, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;
use web_sys::{ReadableStream, RequestInit};

use agentidp_gateway::{Found, Route};

use crate::admit::{Admitted, admit};
use crate::answer::{self, IDENTITY};
use crate::call::{Call, Needs};
use crate::glue;
use crate::mcp::{self, Examined};

/// Names that say who is calling, or by which edge: no caller sets them.
const OURS: [&str; 2] = ["X-Edge-Secret", "X-Revocation-Age"];

/// Admits a call by what its route needs, and passes it on to the route's origin.
pub(crate) async fn by_route(call: &Call<'_>) -> Result<Response, JsValue> {
    let route = match call.settings.routes.find(call.path) {
        Found::Route(route) => route,
        Found::Nowhere => return answer::not_found(),
        Found::Doubtful => return answer::unreadable(),
    };
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
    let (method, has_body) = (&passable.method, passable.has_body);
    let Examined { needs, body } = match mcp::examine(call, route, method, has_body, needs).await {
        Ok(examined) => examined,
        Err(answer) => return answer,
    };
    match admit(call, &needs).await {
        Ok(admitted) => forward(call, &passable, body, &admitted).await,
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
    let path = call.path.as_str();
    Some(Passable {
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
    let nominated: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
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

/// Sends `request` to the origin and hands its answer back.
async fn forward(
    call: &Call<'_>,
    passable: &Passable,
    read: Option<Uint8Array>,
    admitted: &Admitted,
) -> Result<Response, JsValue> {
    let (method, pairs, dropped) = (&passable.method, &passable.pairs, &passable.dropped);
    let init = admitted.token.show(|shown| {
        let (agent, org, scope) = (&shown.agent, &shown.org, &shown.scope);
        let secret = call.settings.origin_secret.as_deref();
        let age = admitted.revocation_age();
        glue::onward(method, pairs, dropped, agent, org, scope, secret, age)
    });
    // Not by worker's own types: they turn an unknown method into GET, and panic at
    // a status that a Response cannot have.
    let mut broken_off = None;
    let body = match &read {
        Some(read) => {
            init.set_body(read);
            None
        }
        None => call.request.body(),
    };
    match (passable.framing, body) {
        (Framing::Bodiless, _) | (_, None) => {}
        (Framing::Length, Some(body)) => init.set_body(&JsValue::from(body)),
        (Framing::Chunks, Some(body)) => {
            let (body, signal) = whole_or_not_at_all(&body)?;
            init.set_body(&body);
            Reflect::set(&init, &"signal".into(), &signal)?;
            broken_off = Some(signal);
        }
    }
    match send(&passable.url, &init).await {
        Ok(response) if (200..600).contains(&response.status()) => {
            let (limit, remaining, reset) = glue::limit_of(admitted.counted.minute);
            glue::hand_back(
                &response,
                limit,
                remaining,
                reset,
                admitted.revocation_age(),
            )
        }
        Ok(response) => {
            worker::console_error!("origin: it answered {}", response.status());
            answer::no_origin()
        }
        Err(_) if broken_off.as_ref().is_some_and(is_aborted) => answer::unreadable(),
        Err(error) => {
            worker::console_error!("origin: {error:?}");
            answer::no_origin()
        }
    }
}

/// A chunked body that its sender broke off, or that is no such body, would be
/// completed by workerd: the origin would take the half for the whole. Instead
/// the request to the origin is broken off too: the signal aborts it. All of it is
/// this request's own promises, which no other request wakes.
fn whole_or_not_at_all(body: &ReadableStream) -> Result<(JsValue, JsValue), JsValue> {
    let make = |class: &str| {
        let class: Function = Reflect::get(&js_sys::global(), &class.into())?.dyn_into()?;
        Reflect::construct(&class, &Array::new())
    };
    let method = |of: &JsValue, name: &str| Reflect::get(of, &name.into())?.dyn_into::<Function>();
    let (stream, controller) = (make("IdentityTransformStream")?, make("AbortController")?);
    let options = JsValue::from(Object::new());
    Reflect::set(&options, &"preventAbort".into(), &true.into())?;
    let writable = Reflect::get(&stream, &"writable".into())?;
    let piped = method(body, "pipeTo")?.call2(body, &writable, &options)?;
    let abort = method(&controller, "abort")?;
    let abort = method(&abort, "bind")?.call1(&abort, &controller)?;
    method(&piped, "catch")?.call1(&piped, &abort)?;
    let readable = Reflect::get(&stream, &"readable".into())?;
    Ok((readable, Reflect::get(&controller, &"signal".into())?))
}

fn is_aborted(signal: &JsValue) -> bool {
    Reflect::get(signal, &"aborted".into()).is_ok_and(|aborted| aborted.is_truthy())
}

async fn send(url: &str, init: &RequestInit) -> Result<Response, JsValue> {
    JsFuture::from(glue::send(url, init)?).await?.dyn_into()
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
    ]
    .iter()
    .any(|between| name.eq_ignore_ascii_case(between))
}

/// Whether `name` could be read as one of ours: CGI and its heirs take an
/// underscore for a dash, and some of them any other sign too.
fn is_ours(name: &str) -> bool {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    IDENTITY
        .iter()
        .chain(&OURS)
        .any(|ours| ours.eq_ignore_ascii_case(&dashed))
}
