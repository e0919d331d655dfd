//! Calls to the core.

use worker::{AbortSignal, Fetch, Headers, Method, Request, RequestInit, Response};

/// How long the core may take for an answer, in milliseconds, before it counts as
/// away.
const PATIENCE_MS: u32 = 500;

/// The same where the core has something to write: what it did is lost, as far as
/// this edge is concerned, where nobody waits for the answer.
const POST_PATIENCE_MS: u32 = 1_000;

/// What goes wrong, for the Worker's log: never for a caller.
#[derive(Debug)]
pub(crate) struct CoreError(String);

impl std::fmt::Display for CoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for CoreError {
    fn from(error: String) -> Self {
        Self(error)
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
    let get = async || send(url, Method::Get, authorization, None, &in_time).await;
    // RFC 9110 §9.2.2: a connection that was kept may have been closed by the core
    // just when this was sent on it.
    let response = match get().await {
        Err(_) if !in_time.aborted() => get().await?,
        answered => answered?,
    };
    body(url, response).await
}

/// The body of a 200 answer to `POST url` with a JSON body. It is sent once: what
/// the core did with it is not known where no answer comes.
///
/// # Errors
/// The same.
pub(crate) async fn post(url: &str, authorization: &str, json: &str) -> Result<Vec<u8>, CoreError> {
    let in_time = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(POST_PATIENCE_MS));
    let authorization = Some(authorization);
    let response = send(url, Method::Post, authorization, Some(json), &in_time).await?;
    body(url, response).await
}

async fn body(url: &str, mut response: Response) -> Result<Vec<u8>, CoreError> {
    let status = response.status_code();
    if status != 200 {
        return Err(CoreError(format!("{url} answered {status}")));
    }
    Ok(response.bytes().await?)
}

async fn send(
    url: &str,
    method: Method,
    authorization: Option<&str>,
    json: Option<&str>,
    in_time: &AbortSignal,
) -> worker::Result<Response> {
    let headers = Headers::new();
    if let Some(authorization) = authorization {
        headers.set("Authorization", authorization)?;
    }
    let mut init = RequestInit::new();
    init.with_method(method);
    if let Some(json) = json {
        headers.set("Content-Type", "application/json")?;
        init.with_body(Some(json.into()));
    }
    init.with_headers(headers);
    let request = Request::new_with_init(url, &init)?;
    Fetch::Request(request).send_with_signal(in_time).await
}
