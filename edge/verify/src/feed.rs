//! The feed's format: what the core says to its edges.

use serde::{Deserialize, Serialize};

/// What an entry's id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A token, by `jti`.
    Token,
    /// Something a token rests on, by its id in `grants`: a credential.
    Grant,
    /// An agent, by `sub` or `client_id`.
    Agent,
    /// A tenant, by `org_id`.
    Tenant,
    /// Not a revocation: a tenant, by `org_id`, whose older tokens carry a higher
    /// limit than its tier has now.
    Cap,
    /// The same of every tenant on a tier, by the tier's name.
    TierCap,
    /// A signing key, by `kid`: whatever it signed, and will sign.
    Key,
}

/// One revocation. The entry for an id replaces an earlier one for the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What `id` names.
    pub kind: Kind,
    /// Whose tokens are dead.
    pub id: String,
    /// When it was lifted, Unix seconds; see [`crate::revocations::falls_under`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<u64>,
    /// What a [`Kind::Cap`] or [`Kind::TierCap`] holds older tokens to, requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// When no token that could fall under it is alive any more, Unix seconds.
    pub expires_at: u64,
}

/// `GET /api/v1/edge/feed?after=<cursor>`: what the statement
/// [`crate::statement::FEED`] says, beside `iss` and `aud`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The core's clock when it read this, Unix milliseconds. Whatever was committed
    /// before is in it.
    pub as_of: u64,
    /// The cursor that was asked for.
    pub after: u64,
    /// Whether the view begins anew with this page: it has all from the beginning,
    /// and what was known before is no longer so.
    pub snapshot: bool,
    /// What to ask for next. Nothing at or before it can still appear.
    pub cursor: u64,
    /// Whether there is more to read at once.
    pub more: bool,
    /// The length of a window, milliseconds.
    pub window_ms: u64,
    /// What was revoked or lifted, in the order in which it was.
    pub entries: Vec<Entry>,
}

/// `aud` of the feed's pages.
pub fn audience(issuer: &str) -> String {
    format!("{}/api/v1/edge/feed", issuer.trim_end_matches('/'))
}
