//! Calls to the core.

use worker::{Fetch, Headers, Method, Request, RequestInit};

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
    let headers = Headers::new();
    if let Some(authorization) = authorization {
        headers.set("Authorization", authorization)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    let request = Request::new_with_init(url, &init)?;
    let mut response = Fetch::Request(request).send().await?;
    let status = response.status_code();
    if status != 200 {
        return Err(CoreError(format!("{url} answered {status}")));
    }
    Ok(response.bytes().await?)
}
