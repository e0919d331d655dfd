//! The Worker: verifies tokens and enforces limits near the clients. `/verify`
//! answers a gateway that asks; what takes a route to an origin goes on to it, with
//! the caller's identity in headers that the caller cannot set.
//!
//! What must be known of keys and revocations is fetched from the core and kept
//! in the isolate. No request ever waits for another request's future: results
//! are shared, futures are not (a Worker cancels the waiter).

mod address_limit;
mod admit;
mod answer;
mod body;
mod call;
mod client_limit;
mod clock;
mod core_api;
mod feed;
mod forward;
mod forward_auth;
mod glue;
mod health;
mod introspect;
mod keys;
mod leasing;
mod log;
mod mcp;
mod metadata;
mod permits;
mod report;
mod settings;
mod token_endpoint;
mod tokens;
mod watch;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use agentidp_gateway::Path;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;
use web_sys::{Request, Response};
use worker::{Context, Env};

use crate::call::Call;
use crate::log::Line;

/// Every request comes in here, with its URL, its `Authorization` and the time. The answer
/// is a `Response` where nobody has to be waited for, and else a promise of one: a
/// promise costs a request more than all that is decided about it.
///
/// # Errors
/// The Worker failed: see `worker.mjs`.
#[wasm_bindgen]
pub fn fetch(
    request: Request,
    url: String,
    authorization: Option<String>,
    now_ms: f64,
    env: Env,
    context: worker::worker_sys::Context,
) -> Result<JsValue, JsValue> {
    let context = Rc::new(Context::new(context));
    let mut answer: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> =
        Box::pin(async move {
            let answer = answer(&request, &url, authorization.as_deref(), &env, &context).await;
            Ok(JsValue::from(answer?))
        });
    // Nobody is woken by this: what is not ready is polled again by the promise.
    let nobody = &mut std::task::Context::from_waker(Waker::noop());
    match clock::turn(now_ms as u64, || answer.as_mut().poll(nobody)) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Ok(future_to_promise(answer).into()),
    }
}

async fn answer(
    request: &Request,
    url: &str,
    authorization: Option<&str>,
    env: &Env,
    context: &Rc<Context>,
) -> Result<Response, JsValue> {
    let settings = match settings::read(env) {
        Ok(settings) => settings,
        Err(problem) => {
            worker::console_error!("misconfigured: {problem}");
            return answer::misconfigured();
        }
    };
    // workerd's URLs are whole: a scheme, a host, a path (WHATWG URL).
    let target = url.split_once("://").map_or("", |(_, rest)| {
        rest.find(['/', '?', '#']).map_or("/", |at| &rest[at..])
    });
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let line = Line::begin();
    let Some(path) = Path::read(path).filter(|_| !target.contains('#')) else {
        line.write(settings.logged, 400);
        return answer::unreadable();
    };
    let call = Call {
        request,
        env,
        context,
        settings: &settings,
        authorization,
        path: &path,
        query,
        line: &line,
    };
    let answer = by_path(&call).await;
    if line.is_wanted(settings.logged) {
        let status = answer.as_ref().map_or(503, Response::status);
        line.write(settings.logged, status);
    }
    answer
}

async fn by_path(call: &Call<'_>) -> Result<Response, JsValue> {
    let path = call.path.as_str();
    if forward_auth::is_question(path) {
        return forward_auth::verify(call).await;
    }
    if forward_auth::has_lost_its_way(call) {
        return answer::unreadable();
    }
    match path {
        "/health" => health::lives(),
        "/ready" => health::is_ready(call).await,
        introspect::INTROSPECT if call.settings.introspection.is_some() => {
            introspect::introspect(call).await
        }
        token_endpoint::PATH if call.settings.hands_tokens_through => {
            token_endpoint::pass(call).await
        }
        path if metadata::is_well_known(path) => metadata::document(call),
        _ => forward::by_route(call).await,
    }
}
