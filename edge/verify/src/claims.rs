//! The claims of an access token (RFC 9068 §2.2) and the few of our own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest that any token may live, in seconds. Revocation entries are kept
/// this long: after it nothing that they could kill is alive.
pub const LONGEST_LIFE_S: u64 = 86_400;

/// An access token's claims, RFC 9068 §2.2. Times are whole Unix seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The deployment's one issuer.
    pub iss: String,
    /// The agent; the same as `client_id` until delegation exists.
    pub sub: String,
    /// The client that asked, RFC 8693 §4.3.
    pub client_id: String,
    /// The one resource this token is for, RFC 8707 §2.
    pub aud: String,
    /// Refused from this second on.
    pub exp: u64,
    /// Refused before this second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// When it was issued.
    pub iat: u64,
    /// The token's own id, and that of its audit event.
    pub jti: String,
    /// What it allows, separated by single spaces, RFC 8693 §4.2.
    #[serde(default)]
    pub scope: String,
    /// The tenant.
    pub org_id: String,
    /// The tenant's tier when the token was issued.
    pub tier: String,
    /// What the edge enforces without asking anybody.
    pub agentidp: Enforced,
    /// What the tenant's policy says beyond that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, String>,
    /// A key that the caller would have to prove, RFC 7800. Nothing here can
    /// check such a proof yet, so a token that has it is refused.
    #[serde(
        default,
        skip_serializing,
        deserialize_with = "crate::strict_json::present"
    )]
    pub cnf: Option<serde::de::IgnoredAny>,
}

/// The outcome of the policy's decision, signed into the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Requests a minute at the edge; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// The policy that decided: the digest (SHA-256, hex) of the tenant's version, or
    /// where there is none of the tier's module.
    pub policy: String,
    /// Ids whose revocation kills this token: the credential it was got with.
    pub grants: Vec<String>,
}

impl Claims {
    /// Whether every one of `needed` is among this token's scopes.
    pub fn allows<S: AsRef<str>>(&self, needed: &[S]) -> bool {
        needed
            .iter()
            .all(|scope| self.scopes().any(|held| held == scope.as_ref()))
    }

    /// Whether its ids are texts without control characters and its life is no
    /// longer than [`LONGEST_LIFE_S`].
    pub(crate) fn is_plausible(&self) -> bool {
        let ids = [&self.jti, &self.sub, &self.client_id, &self.org_id];
        let mut ids = ids.into_iter().chain(&self.agentidp.grants);
        let lives = self.exp.checked_sub(self.iat);
        ids.all(|id| !id.contains(char::is_control)) && lives.is_none_or(|s| s <= LONGEST_LIFE_S)
    }

    /// The token's scopes, one by one.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }
}
