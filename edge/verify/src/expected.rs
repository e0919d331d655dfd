//! What a verifier requires of every token: the issuer, and whom the token is for.

use crate::claims::Claims;

/// An audience that a verifier answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The value of `aud`.
    pub identifier: String,
    /// The tenant that `org_id` must name. An identifier that was given up and
    /// registered by another tenant must not open the first one's doors.
    pub org_id: Option<String>,
}

/// Whom a verifier takes tokens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// `aud` must be one of these.
    These(Vec<Audience>),
    /// Whatever `aud` says: for the issuer, when it describes its own tokens or
    /// revokes them. Never to let a call through.
    Any,
}

/// What a verifier requires of every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// What `aud` may be.
    pub audiences: Audiences,
}

impl Audiences {
    /// Whether `claims` are for one of them.
    pub(crate) fn hold(&self, claims: &Claims) -> bool {
        let Self::These(audiences) = self else {
            return true;
        };
        audiences.iter().any(|audience| {
            let org_id = audience.org_id.as_ref();
            audience.identifier == claims.aud && org_id.is_none_or(|id| *id == claims.org_id)
        })
    }
}
