//! What a credential is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Failure;
use crate::ids::{AgentId, CredentialId};

/// How long a credential lives where nobody says, in days.
pub(super) const DEFAULT_DAYS: i64 = 90;
/// How long it may live at most, in days.
const MOST_DAYS: i64 = 730;

/// Where a credential is in its life.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Life {
    /// It works until `expires_at`.
    Active,
    /// Its time has passed.
    Expired,
    /// It was revoked before.
    Revoked {
        /// When.
        #[serde(rename = "revoked_at", with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// By whom.
        #[serde(rename = "revoked_by")]
        by: AgentId,
    },
}

/// A credential, as the API shows it: everything but the secret.
#[derive(Debug, Clone, Serialize)]
pub struct Credential {
    /// Its id, which `grants` names in the tokens that were got with it.
    pub credential_id: CredentialId,
    /// Whose it is.
    pub agent_id: AgentId,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
    /// Its successor, where it was rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<CredentialId>,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When a token was last got with it, to the minute; absent where none was.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub last_used_at: Option<OffsetDateTime>,
}

impl Credential {
    /// What a change is made of: a use is no change.
    pub(super) fn version(&self) -> Self {
        Self {
            last_used_at: None,
            ..self.clone()
        }
    }
}

/// Which credentials a list is of: those that meet all that is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    pub(super) status: Option<LifeWord>,
    /// Those that end before.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) expires_before: Option<OffsetDateTime>,
}

/// A [`Life`] by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifeWord {
    Active,
    Expired,
    Revoked,
}

impl LifeWord {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Checks the end that somebody asked for.
pub(super) fn check_end(end: OffsetDateTime, now: OffsetDateTime) -> Result<(), Failure> {
    if end <= now {
        return Err(Failure::invalid("expires_at", "must be in the future"));
    }
    if end > now + time::Duration::days(MOST_DAYS) {
        return Err(Failure::invalid(
            "expires_at",
            format!("must be within {MOST_DAYS} days"),
        ));
    }
    Ok(())
}
