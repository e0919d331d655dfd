//! The Worker: verifies tokens and enforces limits near the clients. `/verify`
//! answers a gateway that asks; with `ORIGIN_URL` everything else goes on to the
//! origin, with the caller's identity in headers that the caller cannot set.
//!
//! What must be known of keys and revocations is fetched from the core and kept
//! in the isolate. No request ever waits for another request's future: results
//! are shared, futures are not (a Worker cancels the waiter).

mod admit;
mod answer;
mod client_limit;
mod clock;
mod core_api;
mod dots;
mod feed;
mod forward;
mod keys;
mod permits;
mod settings;
mod tokens;

use worker::{Context, Env, Request, Response, event};

/// Every request comes in here.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let settings = match settings::read(&env) {
        Ok(settings) => settings,
        Err(problem) => {
            worker::console_error!("misconfigured: {problem}");
            return answer::misconfigured();
        }
    };
    let verify = request.path() == "/verify";
    let passable = match settings.origin_url.as_deref() {
        _ if verify => None,
        None => return answer::not_found(),
        Some(origin) => match forward::look(origin, &request) {
            Some(passable) => Some(passable),
            None => return answer::unreadable(),
        },
    };
    let admitted = match admit::admit(&settings, &env, &context, request.headers()).await {
        Ok(admitted) => admitted,
        Err(rejected) => return answer::refuse(&rejected),
    };
    match passable {
        None => answer::verified(&admitted),
        Some(passable) => forward::forward(&request, &passable, &admitted).await,
    }
}
