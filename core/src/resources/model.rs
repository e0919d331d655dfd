//! What a resource is, and what may name one.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;

use crate::error::Failure;
use crate::ids::ResourceId;
use crate::{scope, text};

/// How many scopes a resource may define.
const MOST_SCOPES: usize = 100;

/// A resource, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its id in the API.
    pub resource_id: ResourceId,
    /// The value of `aud` and of the parameter `resource`, RFC 8707 §2.
    pub identifier: String,
    /// For people.
    pub name: String,
    /// The scopes that it defines.
    pub scopes: Vec<String>,
    /// Whether a token is for this one where nobody says which.
    pub default: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Resource {
    /// Whether nothing but the time of the change tells it from `before`.
    pub(super) fn is_as(&self, before: &Self) -> bool {
        let updated_at = self.updated_at;
        *self
            == Self {
                updated_at,
                ..before.clone()
            }
    }
}

/// A resource to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewResource {
    /// The value of `aud`.
    pub identifier: String,
    /// For people; the identifier where it is absent.
    pub name: Option<String>,
    /// The scopes that it defines.
    pub scopes: Vec<String>,
    /// Whether it is to be the default; the tenant's first one is.
    #[serde(default)]
    pub default: bool,
}

/// RFC 8707 §2: an absolute URI without a fragment. Never the issuer, in any
/// spelling: its tokens open the core's own API.
pub(super) fn check_identifier(identifier: &str, issuer: &str) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::invalid("identifier", why));
    text::check("identifier", identifier, 1, 512)?;
    let of_a_uri = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if !identifier.bytes().all(of_a_uri) {
        return refuse("must be written in the characters of a URI");
    }
    match Url::parse(identifier) {
        Err(_) => return refuse("must be an absolute URI"),
        Ok(url) if url.fragment().is_some() => return refuse("must have no fragment"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            return refuse("must name no user");
        }
        Ok(_) => {}
    }
    if spelling(identifier) == spelling(issuer) {
        return refuse("is the issuer's own");
    }
    Ok(())
}

/// What all spellings of one identifier have in common: two that differ by it
/// alone would be one resource to a verifier that normalises URLs.
pub(super) fn spelling(identifier: &str) -> String {
    let normal = Url::parse(identifier).map_or_else(|_| identifier.to_owned(), String::from);
    normal.trim_end_matches(['/', '?']).to_owned()
}

pub(super) fn check_scopes(scopes: &[String]) -> Result<(), Failure> {
    text::check_list("scopes", scopes, MOST_SCOPES, 64)?;
    for scope in scopes {
        scope::for_resource(scope)
            .map_err(|why| Failure::invalid("scopes", format!("{scope:?} {why}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_an_absolute_uri_without_a_fragment_and_never_the_issuer() {
        let check = |identifier| check_identifier(identifier, "https://idp.example").is_ok();
        for good in [
            "https://api.example/v1",
            "urn:example:api",
            "https://idp.example/api",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "",
            "api",
            "/api",
            "https://api.example/#x",
            "https://idp.example",
            "https://idp.example/",
            "HTTPS://IDP.example:443/?",
            "https://idp.example/x/..",
            "https://user@api.example",
            "https://\u{e9}.example",
            "https://a b",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
