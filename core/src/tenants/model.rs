//! What a tenant is.

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use crate::error::Failure;
use crate::ids::{OrgId, ResourceId};
use crate::limits::Ceiling;

/// Whether a tenant's agents get and use tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Status {
    /// They do.
    Active,
    /// They do not, until it is active again.
    Suspended,
    /// The same, and it will be deleted.
    Deleting,
}

impl Status {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Life {
    /// Its agents get tokens.
    Active,
    /// They get none, until it is active again.
    Suspended,
    /// The same; until then an operator can put it back.
    Deleting {
        /// When it and all that is its own is deleted.
        #[serde(with = "time::serde::rfc3339")]
        deletes_at: OffsetDateTime,
    },
}

impl Life {
    /// As the database has it.
    pub(super) const fn of(status: Status, deletes_at: Option<OffsetDateTime>) -> Self {
        match (status, deletes_at) {
            (Status::Active, _) => Self::Active,
            (Status::Deleting, Some(deletes_at)) => Self::Deleting { deletes_at },
            (Status::Deleting | Status::Suspended, _) => Self::Suspended,
        }
    }

    /// Its name.
    pub const fn status(self) -> Status {
        match self {
            Self::Active => Status::Active,
            Self::Suspended => Status::Suspended,
            Self::Deleting { .. } => Status::Deleting,
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
    /// `free`, `pro`, `enterprise`, one that an operator added, or its own `platform`.
    pub tier: String,
    /// Whether its agents get tokens.
    #[serde(flatten)]
    pub life: Life,
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
    /// The longest life of a token, in seconds: the tier's, or the tenant's own
    /// where that is shorter.
    pub token_lifetime_s: u32,
    /// Of how many decisions a day the input is kept, for the tenant.
    pub samples_per_day: u32,
    /// The largest module that the tenant may upload, in bytes.
    pub policy_bytes: u32,
    /// The policy module that decides, by the SHA-256 of its component.
    pub module_digest: Option<String>,
}

impl Tier {
    /// What edges are told of where it falls.
    pub(crate) fn ceiling(&self) -> Ceiling {
        (self.calls_per_day, self.requests_per_minute)
    }

    /// The numbers of the contract's `pro`, for trials outside of any service.
    pub fn example() -> Self {
        Self {
            name: "pro".to_owned(),
            calls_per_day: Some(50_000),
            tokens_per_day: Some(25_000),
            tokens_per_month: Some(500_000),
            requests_per_minute: Some(1_000),
            token_lifetime_s: 3_600,
            samples_per_day: 0,
            policy_bytes: 1 << 20,
            module_digest: None,
        }
    }
}

/// Checks a tenant's name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    crate::text::check("name", name, 1, 200)
}

/// What an administrator sets for its own tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// The longest life of a token, in seconds; the tier's where there is none.
    pub(super) token_lifetime_s: Option<u32>,
    /// The resource that tokens are for where nobody says; none where the tenant
    /// has no resource.
    pub(super) default_resource: Option<ResourceId>,
}

/// What of the settings is changed: what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeSettings {
    #[serde(default, deserialize_with = "said")]
    pub(super) token_lifetime_s: Option<Option<u32>>,
    #[serde(default, deserialize_with = "said")]
    pub(super) default_resource: Option<Option<ResourceId>>,
}

/// Tells a null from what is absent (RFC 7396).
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl ChangeSettings {
    pub(super) fn check(&self) -> Result<(), Failure> {
        let life = self.token_lifetime_s.flatten();
        if life.is_some_and(|life| !(1..=86_400).contains(&life)) {
            let why = "must be from 1 to 86400, or null";
            return Err(Failure::invalid("token_lifetime_s", why));
        }
        if self.default_resource == Some(None) {
            let why = "must name one of your resources";
            return Err(Failure::invalid("default_resource", why));
        }
        Ok(())
    }
}
