//! Passes a request on to the origin: the same method, path, query and body, and
//! the caller's identity in headers that were taken from the caller first.

use wasm_bindgen::JsValue;
use web_sys::RequestRedirect;
use worker::{Fetch, Headers, Request, Response};

use crate::admit::Admitted;
use crate::answer::{self, IDENTITY};
use crate::settings::Settings;

/// Sends `request` to the origin and hands its answer back.
pub(crate) async fn forward(
    settings: &Settings,
    request: Request,
    admitted: &Admitted,
) -> worker::Result<Response> {
    let Some(url) = target(settings, &request.inner().url()) else {
        return answer::unreadable();
    };
    let headers = Headers::new();
    for (name, value) in request.headers().entries() {
        if !is_identity(&name) {
            headers.append(&name, &value)?;
        }
    }
    answer::identify(admitted, &headers)?;

    // By hand: worker's own type would turn an unknown method into GET.
    let init = web_sys::RequestInit::new();
    init.set_method(&request.inner().method());
    init.set_headers(headers.as_ref());
    init.set_redirect(RequestRedirect::Manual);
    if let Some(body) = request.inner().body() {
        init.set_body(&JsValue::from(body));
    }
    let outgoing = web_sys::Request::new_with_str_and_init(&url, &init)?;
    match Fetch::Request(Request::from(outgoing)).send().await {
        Ok(response) => {
            let response: web_sys::Response = response.into();
            let init = web_sys::ResponseInit::new();
            init.set_status(response.status());
            init.set_status_text(&response.status_text());
            let headers = Headers(response.headers());
            let shown = Headers::new();
            for (name, value) in headers.entries() {
                shown.append(&name, &value)?;
            }
            answer::show_limit(admitted, &shown)?;
            init.set_headers(shown.as_ref());
            let body = response.body();
            let answer =
                web_sys::Response::new_with_opt_readable_stream_and_init(body.as_ref(), &init)?;
            Ok(answer.into())
        }
        Err(error) => {
            worker::console_error!("origin: {error}");
            answer::no_origin()
        }
    }
}

/// The origin's URL for the path and query of `url`.
fn target(settings: &Settings, url: &str) -> Option<String> {
    let origin = settings.origin_url.as_deref()?;
    let (_, rest) = url.split_once("://")?;
    let path = rest.find(['/', '?']).map_or("/", |at| &rest[at..]);
    Some(format!("{origin}{path}"))
}

/// Whether `name` could be read as one of ours: CGI and its heirs take an
/// underscore for a dash.
fn is_identity(name: &str) -> bool {
    let dashed = name.replace('_', "-");
    IDENTITY
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(&dashed))
}
