//! A request that nobody made, to try a policy with.

use serde::Deserialize;

use super::question::Question;
use crate::clock::Now;
use crate::error::Failure;
use crate::limits::Used;
use crate::scope;
use crate::tenants::Tier;

/// What is not said is what an agent has of which nothing is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeUp {
    /// Which version is asked, by its digest; the active one, where nobody says.
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default)]
    agent_id: String,
    #[serde(default = "custom")]
    agent_type: String,
    #[serde(default = "development")]
    deployment_env: String,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    audience: String,
    scopes: Vec<String>,
    /// Unix seconds; now, where nobody says.
    now: Option<u64>,
    /// This one included.
    #[serde(default = "one")]
    tokens_today: u64,
    /// This one included.
    #[serde(default = "one")]
    tokens_this_month: u64,
}

fn custom() -> String {
    "custom".to_owned()
}

fn development() -> String {
    "development".to_owned()
}

const fn one() -> u64 {
    1
}

impl MadeUp {
    /// The question that an agent of this tenant would be the cause of.
    ///
    /// # Errors
    /// 422 for scopes that are none.
    pub(super) fn question(self, org_id: String, tier: &Tier) -> Result<Question, Failure> {
        let scopes = scope::words(&self.scopes.join(" "))
            .map_err(|()| Failure::invalid("scopes", "must be scopes, and at least one"))?;
        Ok(Question {
            agent_id: self.agent_id,
            agent_type: self.agent_type,
            deployment_env: self.deployment_env,
            capabilities: self.capabilities,
            org_id,
            tier: tier.name.clone(),
            audience: self.audience,
            scopes,
            now: self.now.unwrap_or_else(|| Now::read().s()),
            tokens_today: Used {
                used: self.tokens_today,
                limit: tier.tokens_per_day,
            },
            tokens_this_month: Used {
                used: self.tokens_this_month,
                limit: tier.tokens_per_month,
            },
        })
    }
}
