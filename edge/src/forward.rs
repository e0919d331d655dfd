//! Passes a request on to the origin: the same method, path, query and body, and
//! the caller's identity in headers that were taken from the caller first. What
//! two readers could take for two different requests is not passed on at all.

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::RequestRedirect;
use worker::{Headers, Request, Response};

use crate::admit::Admitted;
use crate::answer::{self, IDENTITY};

/// A request that can be passed on as one request.
pub(crate) struct Passable {
    url: String,
    method: String,
    has_body: bool,
}

/// Looks at a request before anybody is asked to admit it. `None` where it cannot
/// be passed on: a path with dot segments or backslashes, which URL parsers on the
/// way resolve each in its own way, past whatever the origin's base path protects;
/// a GET or HEAD with a body; a method that is about connections.
pub(crate) fn look(origin: &str, request: &Request) -> Option<Passable> {
    let method = request.inner().method();
    if matches!(method.as_str(), "TRACE" | "CONNECT") {
        return None;
    }
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let announced = header("Content-Length").is_some_and(|length| length.trim() != "0");
    let framed = announced || header("Transfer-Encoding").is_some();
    let bodiless = matches!(method.as_str(), "GET" | "HEAD");
    if bodiless && framed {
        return None;
    }
    let url = request.inner().url();
    let (_, rest) = url.split_once("://")?;
    let target = rest.find(['/', '?']).map_or("/", |at| &rest[at..]);
    let path = target.split('?').next().unwrap_or_default();
    let plain = !path.contains('\\') && !path.split('/').any(is_dots);
    plain.then(|| Passable {
        url: format!("{origin}{target}"),
        method,
        has_body: !bodiless,
    })
}

/// Whether a path segment is `.` or `..`, or holds one behind an escaped slash:
/// written out or escaped, since an origin may decode before it resolves.
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    let plain = plain.replace("%2f", "/").replace("%5c", "/");
    plain.split('/').any(|part| part == "." || part == "..")
}

/// Sends `request` to the origin and hands its answer back.
pub(crate) async fn forward(
    request: &Request,
    passable: &Passable,
    admitted: &Admitted,
) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in request.headers().entries() {
        if !is_identity(&name) && !is_of_the_connection(&name) {
            headers.append(&name, &value)?;
        }
    }
    answer::identify(admitted, &headers)?;

    // By hand: worker's own types turn an unknown method into GET, and panic at a
    // status that a Response cannot have.
    let init = web_sys::RequestInit::new();
    init.set_method(&passable.method);
    init.set_headers(headers.as_ref());
    init.set_redirect(RequestRedirect::Manual);
    if passable.has_body
        && let Some(body) = request.inner().body()
    {
        init.set_body(&JsValue::from(body));
    }
    match send(&passable.url, &init).await {
        Ok(response) if (200..600).contains(&response.status()) => hand_back(&response, admitted),
        Ok(response) => {
            worker::console_error!("origin: it answered {}", response.status());
            answer::no_origin()
        }
        Err(error) => {
            worker::console_error!("origin: {error:?}");
            answer::no_origin()
        }
    }
}

async fn send(url: &str, init: &web_sys::RequestInit) -> Result<web_sys::Response, JsValue> {
    let request = web_sys::Request::new_with_str_and_init(url, init)?;
    let global = js_sys::global();
    let fetch: Function = Reflect::get(&global, &"fetch".into())?.dyn_into()?;
    let answer: js_sys::Promise = fetch.call1(&global, &request)?.dyn_into()?;
    JsFuture::from(answer).await?.dyn_into()
}

fn hand_back(response: &web_sys::Response, admitted: &Admitted) -> worker::Result<Response> {
    let init = web_sys::ResponseInit::new();
    init.set_status(response.status());
    init.set_status_text(&response.status_text());
    let shown = Headers::new();
    for (name, value) in Headers(response.headers()).entries() {
        shown.append(&name, &value)?;
    }
    answer::show_limit(admitted, &shown)?;
    init.set_headers(shown.as_ref());
    let body = response.body();
    let answer = web_sys::Response::new_with_opt_readable_stream_and_init(body.as_ref(), &init)?;
    Ok(answer.into())
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
fn is_identity(name: &str) -> bool {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    IDENTITY
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(&dashed))
}
