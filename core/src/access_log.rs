//! A line for each request: the common log format in development, a structured
//! event in production, nothing in test. Paths are logged without their query,
//! where somebody may have put a token.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{REFERER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;
use time::macros::format_description;

use crate::app::App;
use crate::clock::Now;
use crate::config::AppEnv;

/// The target of the lines.
pub(crate) const TARGET: &str = "agentidp::access";

pub(crate) async fn access_log(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if app.config.app_env == AppEnv::Test {
        return next.run(request).await;
    }
    let begun = (Now::read(), Instant::now());
    let ip = request
        .extensions()
        .get::<SocketAddr>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
    let method = request.method().clone();
    let version = request.version();
    let path = printable(request.uri().path());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|matched| matched.as_str().to_owned());
    let referrer = header(request.headers(), &REFERER);
    let user_agent = header(request.headers(), &USER_AGENT);

    let response = next.run(request).await;
    let status = response.status().as_u16();
    let size = response.body().size_hint().exact().unwrap_or(0);
    if app.config.app_env == AppEnv::Production {
        tracing::info!(
            target: TARGET,
            %ip, %method, path, route, status, size, referrer, user_agent,
            duration_us = begun.1.elapsed().as_micros() as u64,
            "request"
        );
    } else {
        let format =
            format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
        let when = begun.0.timestamp().format(format).unwrap_or_default();
        tracing::info!(
            target: TARGET,
            "{ip} - - [{when}] \"{method} {path} {version:?}\" {status} {size} \"{referrer}\" \"{user_agent}\""
        );
    }
    response
}

/// A header as the log may show it: without a referrer's query, `-` for none.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let Some(value) = headers.get(name) else {
        return "-".to_owned();
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    match name {
        &REFERER => printable(text.split(['?', '#']).next().unwrap_or_default()),
        _ => printable(&text),
    }
}

/// At most 256 characters, none of them a control character or a quote.
fn printable(text: &str) -> String {
    text.chars()
        .take(256)
        .map(|c| {
            if c.is_control() || c == '"' || c == '\\' {
                '?'
            } else {
                c
            }
        })
        .collect()
}
