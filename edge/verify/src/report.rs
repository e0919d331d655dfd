//! What an edge tells the core of what it did: counts, of the time since its last
//! report. `POST /api/v1/edge/reports`. A report that is lost loses its counts; one
//! that comes twice is known by its id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rejected::Rejected;

/// How many of [`Report::refusals`] one report has at most. What is refused beyond
/// them is in [`Report::results`] alone.
pub const MOST_REFUSALS: usize = 100;

/// The result of a verification that let a call through.
pub const ADMITTED: &str = "admitted";

/// Every result of a verification: [`ADMITTED`], and the words of
/// [`Rejected::reason`].
pub const RESULTS: [&str; 22] = [
    ADMITTED,
    "missing",
    "repeated_token",
    "token_in_query",
    "too_long",
    "malformed",
    "algorithm",
    "critical_header",
    "key_in_header",
    "type",
    "unknown_key",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",
    "sender_constrained",
    "revoked",
    "insufficient_scope",
    "rate_limited",
    "unavailable",
    "tier_limit_exceeded",
];

/// The word that an older core has for what a newer edge says.
pub const OTHER: &str = "other";

/// The result of that name, or [`OTHER`].
pub fn result(name: &str) -> &'static str {
    let known = RESULTS.into_iter().find(|result| *result == name);
    known.unwrap_or(OTHER)
}

/// One report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its id, a UUID.
    pub report_id: String,
    /// Verifications by their result.
    #[serde(default)]
    pub results: BTreeMap<String, u64>,
    /// Tokens that had been verified before.
    #[serde(default)]
    pub cache_hits: u64,
    /// Tokens that had not.
    #[serde(default)]
    pub cache_misses: u64,
    /// Calls that were let through on a view that was too old, because their route
    /// allows it.
    #[serde(default)]
    pub stale_admits: u64,
    /// The oldest view of the revocations that a call was let through on,
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_age_ms: Option<u64>,
    /// Refusals of tokens that the core had signed.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
}

/// How often an agent was refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its tenant, as its token says.
    pub org_id: String,
    /// The agent, as its token says.
    pub client_id: String,
    /// See [`Rejected::reason`].
    pub reason: String,
    /// How often.
    pub count: u64,
}

impl Rejected {
    /// The reason as one word, for counts.
    pub const fn reason(&self) -> &'static str {
        RESULTS[self.index()]
    }

    /// Where the reason stands in [`RESULTS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::Missing => 1,
            Self::RepeatedToken => 2,
            Self::TokenInQuery => 3,
            Self::TooLong => 4,
            Self::Malformed => 5,
            Self::Algorithm => 6,
            Self::CriticalHeader => 7,
            Self::KeyInHeader => 8,
            Self::Type => 9,
            Self::UnknownKey => 10,
            Self::Signature => 11,
            Self::Issuer => 12,
            Self::Audience => 13,
            Self::Expired => 14,
            Self::NotYetValid => 15,
            Self::SenderConstrained => 16,
            Self::Revoked => 17,
            Self::InsufficientScope { .. } => 18,
            Self::RateLimited { .. } => 19,
            Self::Unavailable { .. } => 20,
            Self::TierLimitExceeded { .. } => 21,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_word() {
        assert_eq!(Rejected::Missing.reason(), "missing");
        assert_eq!(Rejected::Expired.reason(), "expired");
        assert_eq!(Rejected::Revoked.reason(), "revoked");
        let needed = Vec::new();
        let scope = Rejected::InsufficientScope { needed };
        assert_eq!(scope.reason(), "insufficient_scope");
        let reason = "";
        assert_eq!(Rejected::Unavailable { reason }.reason(), "unavailable");
        for name in RESULTS {
            assert_eq!(result(name), name);
        }
        assert_eq!(result("news"), OTHER);
    }
}
