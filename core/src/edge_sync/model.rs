//! What a place of the edge is.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::ids::EdgeId;

/// Where an edge is in its life.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Life {
    /// Its secret works.
    Active,
    /// It was revoked.
    Revoked {
        /// When.
        #[serde(rename = "revoked_at", with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

/// A registered edge: everything but the secret.
#[derive(Debug, Clone, Serialize)]
pub struct Edge {
    /// The user name at the feed.
    pub edge_id: EdgeId,
    /// The operator's name for it, unique among the active ones.
    pub place: String,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last asked for the feed, to the minute; absent where it never did.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub last_seen_at: Option<OffsetDateTime>,
}

impl Edge {
    /// What a change is made of: being seen is no change.
    pub(super) fn version(&self) -> Self {
        Self {
            last_seen_at: None,
            ..self.clone()
        }
    }
}

/// Which edges a list is of: those that meet all that is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) status: Option<LifeWord>,
    pub(super) place: Option<String>,
}

/// A [`Life`] by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LifeWord {
    Active,
    Revoked,
}

impl LifeWord {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}
