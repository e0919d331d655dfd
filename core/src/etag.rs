//! Versions of what the API shows, RFC 9110 §8.8.3: changes are made only of the
//! version that was read, §13.1.1, and what a reader has is not sent again, §13.1.2.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::Failure;

/// The version of `shown`: a strong tag of its JSON.
///
/// # Errors
/// It is no JSON.
pub(crate) fn of(shown: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_vec(shown).map_err(Failure::internal)?;
    let digest = Sha256::digest(&json);
    Ok(format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16])))
}

/// An answer that shows one thing, with its version.
pub(crate) struct Versioned<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        match of(&self.0) {
            Ok(tag) => ([(ETAG, tag)], Json(self.0)).into_response(),
            Err(failure) => failure.into_response(),
        }
    }
}

/// The versions that a change is to be made of; any, where nobody says.
pub(crate) struct IfMatch(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let wanted = tags(&parts.headers, &IF_MATCH);
        let wanted =
            wanted.map_err(|()| Failure::Unreadable("If-Match is no list of tags.".into()))?;
        Ok(Self(wanted))
    }
}

/// All that the header `name` lists, if it is there.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ()> {
    let values = headers.get_all(name).iter();
    let values: Result<Vec<&str>, _> = values.map(|value| value.to_str()).collect();
    let values = values.map_err(|_| ())?;
    Ok((!values.is_empty()).then(|| values.join(",")))
}

impl IfMatch {
    /// Lets something be made that was not there: it has no version that somebody
    /// could have meant.
    ///
    /// # Errors
    /// 412.
    pub(crate) fn check_absent(&self) -> Result<(), Failure> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Failure::Outdated),
        }
    }

    /// Lets a change of `current` be made, if that is the version that was meant.
    /// Weak tags match nothing, since the comparison is a strong one.
    ///
    /// # Errors
    /// 412.
    pub(crate) fn check(&self, current: &impl Serialize) -> Result<(), Failure> {
        let Some(wanted) = &self.0 else {
            return Ok(());
        };
        let tag = of(current)?;
        let met = wanted
            .split(',')
            .map(str::trim)
            .any(|wanted| wanted == "*" || wanted == tag);
        met.then_some(()).ok_or(Failure::Outdated)
    }
}

/// The versions that a reader has already, where it says so.
pub(crate) struct Known(Option<String>);

impl Known {
    /// Of a request's `If-None-Match`, if it reads something.
    pub(crate) fn of(request: &Request) -> Self {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // A list that cannot be read knows nothing.
        let tags = reads.then(|| tags(request.headers(), &IF_NONE_MATCH).ok().flatten());
        Self(tags.flatten())
    }

    /// Answers a reader that has this version with 304 and no body. The comparison
    /// is a weak one.
    pub(crate) fn spare(&self, mut response: Response) -> Response {
        let tag = response.headers().get(ETAG);
        let (Some(known), Some(tag), StatusCode::OK) = (&self.0, tag, response.status()) else {
            return response;
        };
        let mut known = known.split(',').map(str::trim);
        if known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(CONTENT_TYPE);
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_of_the_version_that_was_read_and_of_no_other() {
        let tag = of(&"now").unwrap();
        let check = |header: Option<&str>| IfMatch(header.map(str::to_owned)).check(&"now").is_ok();
        assert!(check(None));
        assert!(check(Some("*")));
        assert!(check(Some(&tag)));
        assert!(check(Some(&format!("\"old\", {tag}"))));
        assert!(!check(Some("\"old\"")));
        assert!(!check(Some(&format!("W/{tag}"))));
        assert!(!check(Some("")));
    }
}
