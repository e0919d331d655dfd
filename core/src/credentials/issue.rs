//! Makes a credential and shows its secret, once.

use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::model::{DEFAULT_DAYS, check_end};
use super::secret::{Secret, SecretKind};
use super::store;
use crate::change::Change;
use crate::error::Failure;
use crate::ids::{AgentId, CredentialId, OrgId};

/// A new credential, with the only look at its secret.
#[derive(Debug, Clone, Serialize)]
pub struct IssuedCredential {
    /// Its id.
    pub credential_id: CredentialId,
    /// Whose it is.
    pub agent_id: AgentId,
    /// The same, by OAuth's name.
    pub client_id: AgentId,
    /// Shown here and never again.
    #[serde(serialize_with = "reveal")]
    pub client_secret: Secret,
    /// Always `active` here.
    pub status: &'static str,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Shows a secret in an answer, which is the only one that does.
///
/// # Errors
/// The serializer's.
pub(crate) fn reveal<S: serde::Serializer>(
    secret: &Secret,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

/// Makes a credential for the agent, which ends at `expires_at`, or in 90 days.
///
/// # Errors
/// An end that cannot be, or the database's.
pub async fn issue(
    change: &mut Change<'_>,
    org_id: OrgId,
    agent_id: AgentId,
    expires_at: Option<OffsetDateTime>,
) -> Result<IssuedCredential, Failure> {
    let created_at = change.now().timestamp();
    let expires_at = expires_at.unwrap_or(created_at + time::Duration::days(DEFAULT_DAYS));
    check_end(expires_at, created_at)?;
    let issued = IssuedCredential {
        credential_id: CredentialId::new(change.now(), &mut rand::rng()),
        agent_id,
        client_id: agent_id,
        client_secret: Secret::generate(SecretKind::Client, &mut rand::rng()),
        status: "active",
        expires_at,
        created_at,
    };
    store::insert(change.connection(), org_id, &issued).await?;
    let details = json!({
        "agent_id": agent_id,
        "expires_at": expires_at.format(&Rfc3339).map_err(Failure::internal)?,
    });
    change
        .record(org_id, "credential.created", issued.credential_id, details)
        .await?;
    change.touch_agent(org_id, agent_id);
    Ok(issued)
}
