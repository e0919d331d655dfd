//! A Worker in Rust that does nothing: what workerd and the binding cost before
//! the first line of a Worker is reached.

use worker::{Context, Env, Request, Response, event};

/// Every request comes in here.
#[event(fetch)]
async fn fetch(_: Request, _: Env, _: Context) -> worker::Result<Response> {
    Response::ok("nothing")
}
