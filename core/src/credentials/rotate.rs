//! Replaces a credential by a new one. Both work until the old one's end, so that
//! whoever uses it can be given the new one without a gap.

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::issue::{IssuedCredential, issue};
use super::model::{Credential, Life};
use super::store;
use crate::change::Change;
use crate::error::Failure;
use crate::ids::{CredentialId, OrgId};

/// How long both work where nobody says: a day, in seconds.
const DEFAULT_OVERLAP_S: u32 = 86_400;
/// How long they may at most: thirty days, in seconds.
const LONGEST_OVERLAP_S: u32 = 30 * 86_400;

/// How to rotate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the old one still works, in seconds; never past its own end.
    overlap_seconds: Option<u32>,
    /// The new one's end.
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// The new credential, with the only look at its secret, and the old one's end.
#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    #[serde(flatten)]
    pub(super) issued: IssuedCredential,
    replaces: Replaced,
}

#[derive(Debug, Serialize)]
struct Replaced {
    credential_id: CredentialId,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// Rotates `old`, whose agent is locked.
///
/// # Errors
/// 409 for one that works no more or was rotated before; 422 for an overlap that
/// is too long.
pub(super) async fn rotate(
    change: &mut Change<'_>,
    org_id: OrgId,
    old: &Credential,
    rotation: &Rotation,
) -> Result<Rotated, Failure> {
    let overlap_s = rotation.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_S);
    if overlap_s > LONGEST_OVERLAP_S {
        let most = format!("must be at most {LONGEST_OVERLAP_S}");
        return Err(Failure::invalid("overlap_seconds", most));
    }
    if !matches!(old.life, Life::Active) {
        return Err(Failure::Conflict("This credential works no more.".into()));
    }
    let ends = change.now().timestamp() + time::Duration::seconds(overlap_s.into());
    let ends = ends.min(old.expires_at);
    let issued = issue(change, org_id, old.agent_id, rotation.expires_at).await?;
    let old_id = old.credential_id;
    let connection = change.connection();
    if !store::replace(connection, org_id, old_id, issued.credential_id, ends).await? {
        return Err(Failure::Conflict(
            "This credential has been rotated already.".into(),
        ));
    }
    let details = json!({
        "agent_id": old.agent_id,
        "replaced_by": issued.credential_id,
        "expires_at": ends.format(&Rfc3339).map_err(Failure::internal)?,
    });
    change
        .record(org_id, "credential.rotated", old_id, details)
        .await?;
    Ok(Rotated {
        issued,
        replaces: Replaced {
            credential_id: old_id,
            expires_at: ends,
        },
    })
}
