//! A line for each request: the common log format in development, a structured
//! event in production, nothing in test. Paths are logged without their query,
//! where somebody may have put a token.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::{REFERER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, Version};
use axum::response::Response;
use time::macros::format_description;

use crate::addresses::ClientAddress;
use crate::clock::Now;
use crate::config::AppEnv;

/// The target of the lines.
const TARGET: &str = "agentidp::access";

/// How much of a text a line shows, in characters.
const LONGEST: usize = 256;

/// What of a request its line will show.
pub(crate) struct Line {
    at: Now,
    ip: IpAddr,
    method: String,
    version: Version,
    path: String,
    referrer: String,
    user_agent: String,
}

impl Line {
    /// Reads it off the request; nothing where there is no log.
    pub(crate) fn begin(app_env: AppEnv, request: &Request) -> Option<Self> {
        if app_env == AppEnv::Test {
            return None;
        }
        let address = request.extensions().get::<ClientAddress>();
        Some(Self {
            at: Now::read(),
            ip: address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |known| known.0),
            method: printable(request.method().as_str()),
            version: request.version(),
            path: printable(request.uri().path()),
            referrer: header(request.headers(), &REFERER),
            user_agent: header(request.headers(), &USER_AGENT),
        })
    }

    /// Logs it with its answer.
    pub(crate) fn end(self, app_env: AppEnv, route: &str, response: &Response, took: Duration) {
        let Self {
            at,
            ip,
            method,
            version,
            path,
            referrer,
            user_agent,
        } = self;
        let status = response.status().as_u16();
        let size = response.body().size_hint().exact().unwrap_or(0);
        if app_env == AppEnv::Production {
            tracing::info!(
                target: TARGET,
                %ip, method, path, route, status, size, referrer, user_agent,
                duration_us = took.as_micros() as u64,
                "request"
            );
        } else {
            let format = format_description!(
                "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000"
            );
            let when = at.timestamp().format(format).unwrap_or_default();
            tracing::info!(
                target: TARGET,
                "{ip} - - [{when}] \"{method} {path} {version:?}\" {status} {size} \"{referrer}\" \"{user_agent}\""
            );
        }
    }
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
    let plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
    if text.len() <= LONGEST && text.bytes().all(plain) {
        return text.to_owned();
    }
    text.chars()
        .take(LONGEST)
        .map(|c| {
            if c.is_control() || c == '"' || c == '\\' {
                '?'
            } else {
                c
            }
        })
        .collect()
}
