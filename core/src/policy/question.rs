//! The question, in the words of `policy.wit`.

use serde::{Deserialize, Serialize};

use super::answer::Ceiling;
use super::engine::wit::agentidp::policy::types;
use crate::limits::Used;

/// What a policy is asked, without what is put before each module anew: the scopes,
/// the ceiling and the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who asks, a UUID.
    pub agent_id: String,
    /// What kind of agent.
    pub agent_type: String,
    /// Where it runs.
    pub deployment_env: String,
    /// What it can do or is, in its tenant's words.
    pub capabilities: Vec<String>,
    /// Its tenant, a UUID.
    pub org_id: String,
    /// Its tenant's tier.
    pub tier: String,
    /// For which resource.
    pub audience: String,
    /// For which scopes.
    pub scopes: Vec<String>,
    /// When, in Unix seconds.
    pub now: u64,
    /// The tenant's tokens today, this one included.
    pub tokens_today: Used,
    /// The agent's tokens this month, this one included.
    pub tokens_this_month: Used,
}

impl Question {
    /// The question to a module that may grant no more than `ceiling`.
    pub(super) fn before(
        &self,
        ceiling: &Ceiling<'_>,
        settings: &[(String, String)],
    ) -> types::Request {
        types::Request {
            agent_id: self.agent_id.clone(),
            agent_type: self.agent_type.clone(),
            deployment_env: self.deployment_env.clone(),
            capabilities: self.capabilities.clone(),
            org_id: self.org_id.clone(),
            tier: self.tier.clone(),
            audience: self.audience.clone(),
            scopes: ceiling.scopes.to_vec(),
            now: self.now,
            ceiling: types::Ceiling {
                lifetime_seconds: small(ceiling.lifetime_s),
                requests_per_minute: ceiling.requests_per_minute.map(small),
            },
            usage: types::Usage {
                tokens_today: self.tokens_today.used,
                tokens_per_day: self.tokens_today.limit,
                tokens_this_month: self.tokens_this_month.used,
                tokens_per_month: self.tokens_this_month.limit,
            },
            settings: settings.to_vec(),
        }
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
