//! `POST …/policy/try`: one made-up request, decided as an issuance would be, and
//! nothing is issued, counted or recorded.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{State as Life, VersionDigest};
use super::{may, store};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::OrgId;
use crate::limits::Used;
use crate::path::Id;
use crate::policy::{InForce, Question, Version, shown};
use crate::{scope, tenants};

/// A request that nobody made. What is not said is what an agent has of which
/// nothing is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeUp {
    /// Which version is asked; the active one, where nobody says.
    version: Option<VersionDigest>,
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
    #[serde(default)]
    tokens_today: u64,
    #[serde(default)]
    tokens_this_month: u64,
}

fn custom() -> String {
    "custom".to_owned()
}

fn development() -> String {
    "development".to_owned()
}

pub(super) async fn try_it(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
    JsonBody(made_up): JsonBody<MadeUp>,
) -> Result<Json<Value>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let connection = &mut *app.database.connection().await?;
    let tier = tenants::tier_of(&mut *connection, org_id).await?;
    let all = store::list(&mut *connection, org_id).await?;
    let found = match &made_up.version {
        Some(wanted) => {
            let found = all.into_iter().find(|version| version.digest == wanted.0);
            Some(found.ok_or(Failure::NotFound)?)
        }
        None => all
            .into_iter()
            .find(|version| version.state == Life::Active),
    };
    if let Some(version) = &found {
        version.can_be_asked()?;
    }
    let asked = scope::words(&made_up.scopes.join(" "))
        .map_err(|()| Failure::invalid("scopes", "must be scopes, and at least one"))?;
    let question = Question {
        agent_id: made_up.agent_id,
        agent_type: made_up.agent_type,
        deployment_env: made_up.deployment_env,
        capabilities: made_up.capabilities,
        org_id: org_id.to_string(),
        tier: tier.name.clone(),
        audience: made_up.audience,
        scopes: asked,
        now: made_up.now.unwrap_or_else(|| Now::read().s()),
        tokens_today: Used {
            used: made_up.tokens_today,
            limit: tier.tokens_per_day,
        },
        tokens_this_month: Used {
            used: made_up.tokens_this_month,
            limit: tier.tokens_per_month,
        },
    };
    let in_force = InForce {
        active: found.map(Version::from).map(Arc::new),
        shadow: None,
    };
    let begun = Instant::now();
    let decided = app
        .policy
        .decide(&app.database, &question, &tier, &in_force)
        .await?;
    let took = begun.elapsed();
    Ok(Json(json!({
        "decision": shown::word(decided.verdict()),
        "tier": shown::verdict(&decided.tier),
        "tenant": decided.tenant.as_ref().map(shown::verdict),
        "microseconds": took.as_micros() as u64,
    })))
}
