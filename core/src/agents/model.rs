//! What an agent is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Failure;
use crate::ids::{AgentId, OrgId};
use crate::text;

/// Where an agent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Status {
    /// It gets tokens.
    Active,
    /// It gets none, and those it has are refused, until it is active again.
    Suspended,
    /// The same for ever; its name is free.
    Decommissioned,
}

impl Status {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Decommissioned => "decommissioned",
        }
    }
}

/// An agent, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// `UUIDv7`; the `client_id` and the `sub` of its tokens.
    pub agent_id: AgentId,
    /// Its tenant.
    pub org_id: OrgId,
    /// Unique among its tenant's agents that are not decommissioned.
    pub name: String,
    /// What kind of agent; the tenant's own word.
    pub agent_type: String,
    /// Of its software.
    pub version: String,
    /// What it can do; the tenant's own words.
    pub capabilities: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// Where it runs; the tenant's own word.
    pub deployment_env: String,
    /// Where it is in its life.
    pub status: Status,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Agent {
    /// Whether it can register others.
    pub(super) fn administers(&self) -> bool {
        self.status == Status::Active && self.scopes.iter().any(|held| held == "agents:write")
    }

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

/// Which agents a list is of: those that meet all that is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    pub(super) status: Option<Status>,
    pub(super) deployment_env: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) agent_type: Option<String>,
    /// In the name, whatever the case.
    pub(super) q: Option<String>,
}

/// What describes an agent, as it is registered or changed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) name: Option<String>,
    pub(super) agent_type: Option<String>,
    pub(super) version: Option<String>,
    pub(super) capabilities: Option<Vec<String>>,
    pub(super) owner: Option<String>,
    pub(super) deployment_env: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) status: Option<Status>,
}

impl Description {
    /// Checks what is there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let word = |field, value: &Option<String>, least, most| {
            value
                .as_deref()
                .map_or(Ok(()), |value| text::check(field, value, least, most))
        };
        word("name", &self.name, 1, 128)?;
        word("agent_type", &self.agent_type, 1, 64)?;
        word("version", &self.version, 1, 64)?;
        word("owner", &self.owner, 0, 200)?;
        word("deployment_env", &self.deployment_env, 1, 64)?;
        if let Some(capabilities) = &self.capabilities {
            text::check_list("capabilities", capabilities, 64, 128)?;
        }
        if let Some(scopes) = &self.scopes {
            text::check_list("scopes", scopes, 128, 64)?;
        }
        Ok(())
    }

    /// Whether this does nothing but take an agent out of service.
    pub(super) fn only_stops(&self) -> bool {
        matches!(
            self,
            Self {
                name: None,
                agent_type: None,
                version: None,
                capabilities: None,
                owner: None,
                deployment_env: None,
                scopes: None,
                status: Some(Status::Suspended | Status::Decommissioned),
            }
        )
    }
}
