//! Calls to the core.

use worker::{AbortSignal, Fetch, Headers, Method, Request, RequestInit, Response};

/// How long the core may take for an answer, in milliseconds, before it counts as
/// away.
const PATIENCE_MS: u32 = 500;

/// What goes wrong, for the Worker's log: never for a caller.
#[derive(Debug)]
pub(crate) struct CoreError(String);

impl std::fmt::Display for CoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<worker::Error> for CoreError {
    fn from(error: worker::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for CoreError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// The body of a 200 answer to `GET url`.
///
/// # Errors
/// The core cannot be reached, or answers otherwise.
pub(crate) async fn get(url: &str, authorization: Option<&str>) -> Result<Vec<u8>, CoreError> {
    let in_time = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(PATIENCE_MS));
    // RFC 9110 §9.2.2: a connection that was kept may have been closed by the core
    // just when this was sent on it.
    let mut response = match send(url, authorization, &in_time).await {
        Err(_) if !in_time.aborted() => send(url, authorization, &in_time).await?,
        answered => answered?,
    };
    let status = response.status_code();
    if status != 200 {
        return Err(CoreError(format!("{url} answered {status}")));
    }
    Ok(response.bytes().await?)
}

async fn send(
    url: &str,
    authorization: Option<&str>,
    in_time: &AbortSignal,
) -> worker::Result<Response> {
    let headers = Headers::new();
    if let Some(authorization) = authorization {
        headers.set("Authorization", authorization)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    let request = Request::new_with_init(url, &init)?;
    Fetch::Request(request).send_with_signal(in_time).await
}
