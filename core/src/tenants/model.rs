//! What a tenant is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Failure;
use crate::ids::OrgId;

/// Whether a tenant's agents get and use tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Status {
    /// They do.
    Active,
    /// They do not, until it is active again.
    Suspended,
}

impl Status {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// A tenant, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its id, `org_id` in every token.
    pub org_id: OrgId,
    /// For people.
    pub name: String,
    /// `free`, `pro`, `enterprise`, or the operator's own `platform`.
    pub tier: String,
    /// Whether its agents get tokens.
    pub status: Status,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Tenant {
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

/// Which tenants a list is of: those that meet all that is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) status: Option<Status>,
    pub(super) tier: Option<String>,
    /// In the name, whatever the case.
    pub(super) q: Option<String>,
}

/// A tier's numbers; no limit where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// API calls a day (UTC), for the tenant.
    pub calls_per_day: Option<u64>,
    /// Tokens a day (UTC), for the tenant.
    pub tokens_per_day: Option<u64>,
    /// Tokens a month (UTC), for each client.
    pub tokens_per_month: Option<u64>,
    /// Requests in a window, for each client.
    pub requests_per_minute: Option<u32>,
    /// The longest life of a token, in seconds.
    pub token_lifetime_s: u32,
    /// Of how many decisions a day the input is kept, for the tenant.
    pub samples_per_day: u32,
    /// The largest module that the tenant may upload, in bytes.
    pub policy_bytes: u32,
    /// The policy module that decides, by the SHA-256 of its component.
    pub module_digest: Option<String>,
}

/// Tiers that a tenant can be put on.
const TIERS: [&str; 3] = ["free", "pro", "enterprise"];

/// Checks a tenant's name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    crate::text::check("name", name, 1, 200)
}

/// Checks a tier's name.
pub(super) fn check_tier(tier: &str) -> Result<(), Failure> {
    if TIERS.contains(&tier) {
        return Ok(());
    }
    Err(Failure::invalid("tier", "must be free, pro or enterprise"))
}
