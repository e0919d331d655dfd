//! Registers an agent.

use serde_json::json;

use super::store;
use crate::change::Change;
use crate::error::{Failure, breaks_constraint};
use crate::ids::{AgentId, OrgId};

/// An agent to be registered; its texts have been checked.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Unique in the tenant.
    pub name: String,
    /// What kind.
    pub agent_type: String,
    /// Of its software.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// Where it runs.
    pub deployment_env: String,
    /// What it may ask for.
    pub scopes: Vec<String>,
}

impl NewAgent {
    /// An agent with this name and nothing said of it.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            agent_type: "custom".to_owned(),
            version: "1.0.0".to_owned(),
            capabilities: Vec::new(),
            owner: String::new(),
            deployment_env: "development".to_owned(),
            scopes: Vec::new(),
        }
    }
}

/// Registers `new` for the tenant.
///
/// # Errors
/// 409 where the tenant has an agent of this name.
pub async fn create(
    change: &mut Change<'_>,
    org_id: OrgId,
    new: NewAgent,
) -> Result<AgentId, Failure> {
    let now = change.now();
    let agent_id = AgentId::new(now, &mut rand::rng());
    store::insert(change.connection(), org_id, agent_id, &new, now)
        .await
        .map_err(name_taken)?;
    let details = json!({
        "name": new.name,
        "agent_type": new.agent_type,
        "deployment_env": new.deployment_env,
        "owner": new.owner,
        "scopes": new.scopes,
    });
    change
        .record(org_id, "agent.created", agent_id, details)
        .await?;
    Ok(agent_id)
}

/// The client's words for a name that is taken.
pub(super) fn name_taken(error: sqlx::Error) -> Failure {
    if breaks_constraint(&error, "agents_name_unique") {
        Failure::Conflict("There is an agent with this name already.".into())
    } else {
        error.into()
    }
}
