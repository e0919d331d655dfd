//! Request bodies: JSON for the API, forms for the OAuth endpoints. Nothing that
//! is unknown, doubled or oversized gets through.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::{Failure, OAuthError, OAuthFailure};

/// The largest body that any endpoint takes, in bytes.
pub const LARGEST_BODY: usize = 64 * 1024;

/// How many parameters a form may have.
const MOST_PARAMETERS: usize = 64;

/// A JSON object. Types that it is read into refuse unknown members.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let typed = request.headers().contains_key(CONTENT_TYPE);
        // RFC 7396 is what a PATCH here means: what is absent stays.
        let json = ["application/json", "application/merge-patch+json"];
        if typed
            && !json
                .iter()
                .any(|json| is_content_type(request.headers(), json))
        {
            let why = "The body must be application/json.";
            return Err(Failure::Unreadable(why.into()));
        }
        let mut bytes = read(request, state).await?;
        // No body at all says as much as an empty object.
        if bytes.is_empty() {
            bytes = Bytes::from_static(b"{}");
        } else if !typed {
            let why = "The body needs the content type application/json.";
            return Err(Failure::Unreadable(why.into()));
        }
        // The syntax first, with duplicates and depth; then the meaning.
        agentidp_verify::strict_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(
            |error| {
                Failure::Unreadable(format!("The body is not JSON as it must be: {error}.").into())
            },
        )?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Failure::invalid("body", error.to_string()))
    }
}

/// A form, RFC 6749 §3.2: no parameter twice but `resource` (RFC 8707 §2), an
/// empty value is no value, and unknown parameters are passed over.
pub struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OAuthFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthFailure> {
        if !is_content_type(request.headers(), "application/x-www-form-urlencoded") {
            return Err(unreadable(
                "The body must be application/x-www-form-urlencoded.",
            ));
        }
        let bytes = read(request, state).await?;
        Self::parse(&bytes)
    }
}

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn parse(bytes: &[u8]) -> Result<Self, OAuthFailure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in bytes.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
            let mut halves = part.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if name != "resource" && pairs.iter().any(|(known, _)| *known == name) {
                return Err(unreadable("A parameter stands twice."));
            }
            if pairs.len() == MOST_PARAMETERS {
                return Err(unreadable("There are too many parameters."));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The parameter's value, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut found = self
            .0
            .iter()
            .filter(|(known, value)| known == name && !value.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The parameter's value.
    ///
    /// # Errors
    /// `invalid_request`, naming it.
    pub fn required(&self, name: &str) -> Result<&str, OAuthFailure> {
        self.value(name)
            .ok_or_else(|| unreadable(format!("The parameter {name} is required.")))
    }
}

/// One name or value, percent-decoded; it must be UTF-8.
///
/// # Errors
/// `invalid_request`: an escape that is none, or bytes that are no text.
pub fn decode(part: &[u8]) -> Result<String, OAuthFailure> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(unreadable("The form has a broken escape.")),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| unreadable("The form is not UTF-8."))
}

fn unreadable(why: impl Into<std::borrow::Cow<'static, str>>) -> OAuthFailure {
    OAuthFailure(Failure::OAuth(OAuthError::InvalidRequest, why.into()))
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    Bytes::from_request(request, state)
        .await
        .map_err(|error: BytesRejection| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Failure::TooLarge
            } else {
                Failure::Unreadable("The body could not be read.".into())
            }
        })
}

fn is_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_the_rfc_says() {
        let form =
            Form::parse(b"grant_type=client_credentials&scope=a%3Ab+c&resource=x&resource=y&e=")
                .unwrap();
        assert_eq!(form.value("grant_type"), Some("client_credentials"));
        assert_eq!(form.value("scope"), Some("a:b c"));
        assert_eq!(form.values("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(form.value("e"), None);
        assert!(form.required("e").is_err());
    }

    #[test]
    fn a_doubled_parameter_a_broken_escape_and_bytes_that_are_no_text_are_refused() {
        for body in [
            &b"a=1&a=2"[..],
            b"a=%",
            b"a=%4",
            b"a=%zz",
            b"a=%ff",
            b"\xff=1",
        ] {
            assert!(Form::parse(body).is_err(), "{body:?}");
        }
        let many = vec!["resource=x"; MOST_PARAMETERS + 1].join("&");
        assert!(Form::parse(many.as_bytes()).is_err());
    }
}
