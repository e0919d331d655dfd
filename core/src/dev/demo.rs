//! What a first user needs: an operator, a demo tenant on the free tier with an
//! administrator, an agent and a resource, and this machine's edge. Found again
//! at the next start; a credential that has gone is made anew.

use super::DevError;
use super::env_file;
use super::folder::Folder;
use crate::agents::{self, NewAgent};
use crate::change::Change;
use crate::clock::Now;
use crate::credentials::{self, Secret, SecretKind};
use crate::database::Database;
use crate::edge_sync;
use crate::error::Failure;
use crate::ids::{AgentId, OrgId, ResourceId};
use crate::resources::{self, NewResource};
use crate::tenants::{self, Bootstrapped};

/// The audience that the echo API is.
pub(super) const RESOURCE: &str = "https://echo.agentidp.example";
/// The demo tenant's name, and its agent's.
const DEMO: &str = "demo";
const SCOPES: [&str; 2] = ["echo:read", "echo:write"];
/// How long the demo's credentials live, in days.
const DAYS: i64 = 365;

/// Ids and secrets for `.agentidp/dev.env` and for the edge.
#[derive(Debug, Clone)]
pub(super) struct Demo {
    pub(super) operator: (AgentId, Secret),
    pub(super) org_id: OrgId,
    pub(super) agent: (AgentId, Secret),
    pub(super) administrator: (AgentId, Secret),
    pub(super) edge_id: String,
    pub(super) edge_secret: String,
}

/// Finds it, or makes what is missing.
pub(super) async fn prepare(database: &Database, folder: &Folder) -> Result<Demo, DevError> {
    let now = Now::read();
    let kept = env_file::read(folder);
    let change = || async {
        Change::begin(database, None, None, now)
            .await
            .map_err(Failure::from)
    };
    let made: Result<Demo, Failure> = async {
        if let Bootstrapped::Made(_) = tenants::bootstrap(change().await?).await? {
            super::say("Made the platform's operator.");
        }
        let mut change = change().await?;
        let platform = first_agent(&mut change, true)
            .await?
            .ok_or(Failure::NotFound)?;
        let (org_id, administrator) = match first_agent(&mut change, false).await? {
            Some(found) => found,
            None => make_tenant(&mut change).await?,
        };
        let agent = agent(&mut change, org_id).await?;
        let demo = Demo {
            operator: with_secret(
                &mut change,
                platform.0,
                platform.1,
                kept.get("AGENTIDP_OPERATOR_CLIENT_SECRET"),
            )
            .await?,
            org_id,
            agent: with_secret(
                &mut change,
                org_id,
                agent,
                kept.get("AGENTIDP_CLIENT_SECRET"),
            )
            .await?,
            administrator: with_secret(
                &mut change,
                org_id,
                administrator,
                kept.get("AGENTIDP_ADMIN_CLIENT_SECRET"),
            )
            .await?,
            edge_id: String::new(),
            edge_secret: String::new(),
        };
        let (edge_id, edge_secret) =
            edge(&mut change, kept.get("EDGE_ID"), kept.get("EDGE_SECRET")).await?;
        change.commit().await?;
        Ok(Demo {
            edge_id,
            edge_secret,
            ..demo
        })
    }
    .await;
    made.map_err(|failure| DevError(format!("the demo tenant could not be made: {failure}")))
}

/// The tenant (the platform's, or the demo's) and its first agent, which is its
/// administrator.
async fn first_agent(
    change: &mut Change<'_>,
    platform: bool,
) -> Result<Option<(OrgId, AgentId)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT a.org_id AS "org_id: OrgId", a.agent_id AS "agent_id: AgentId"
             FROM agents a JOIN tenants t USING (org_id)
            WHERE t.platform = $1 AND (t.platform OR t.name = $2) AND a.name = 'administrator'
            ORDER BY a.agent_id
            LIMIT 1"#,
        platform,
        DEMO,
    )
    .fetch_optional(change.connection())
    .await?;
    Ok(row.map(|row| (row.org_id, row.agent_id)))
}

async fn make_tenant(change: &mut Change<'_>) -> Result<(OrgId, AgentId), Failure> {
    let made = tenants::create(change, DEMO, "free").await?;
    let now = change.now();
    let resource = NewResource {
        identifier: RESOURCE.to_owned(),
        name: Some("The echo API of `agentidp dev`".to_owned()),
        scopes: SCOPES.map(str::to_owned).into(),
        default: true,
    };
    let resource_id = ResourceId::new(now, &mut rand::rng());
    resources::insert(
        change.connection(),
        made.org_id,
        resource_id,
        &resource,
        now,
    )
    .await?;
    let details = serde_json::json!({ "identifier": RESOURCE, "scopes": SCOPES });
    change
        .record(made.org_id, "resource.created", resource_id, details)
        .await?;
    super::say("Made the tenant `demo`, on the free tier.");
    Ok((made.org_id, made.administrator.agent_id))
}

async fn agent(change: &mut Change<'_>, org_id: OrgId) -> Result<AgentId, Failure> {
    let found = sqlx::query_scalar!(
        r#"SELECT agent_id AS "agent_id: AgentId" FROM agents
            WHERE org_id = $1 AND name = $2 AND status <> 'decommissioned'"#,
        org_id.0,
        DEMO,
    )
    .fetch_optional(change.connection())
    .await?;
    match found {
        Some(agent_id) => Ok(agent_id),
        None => {
            let new = NewAgent {
                scopes: SCOPES.map(str::to_owned).into(),
                ..NewAgent::named(DEMO)
            };
            agents::create(change, org_id, new).await
        }
    }
}

/// The secret that was kept, where it still works; else a new one.
async fn with_secret(
    change: &mut Change<'_>,
    org_id: OrgId,
    agent_id: AgentId,
    kept: Option<&String>,
) -> Result<(AgentId, Secret), Failure> {
    let now = change.now();
    if let Some(secret) = kept.and_then(|text| Secret::read(SecretKind::Client, text)) {
        let usable = credentials::usable(change.connection(), org_id, agent_id, now).await?;
        if usable
            .iter()
            .any(|(_, digest, _)| digest.matches(&secret.digest()))
        {
            return Ok((agent_id, secret));
        }
    }
    let end = now.timestamp() + time::Duration::days(DAYS);
    let issued = credentials::issue(change, org_id, agent_id, Some(end)).await?;
    Ok((agent_id, issued.client_secret))
}

/// The edge that was registered, where it still is; else a new one.
async fn edge(
    change: &mut Change<'_>,
    kept_id: Option<&String>,
    kept_secret: Option<&String>,
) -> Result<(String, String), Failure> {
    if let (Some(id), Some(secret)) = (kept_id, kept_secret)
        && edge_sync::is_registered(change.connection(), id, secret).await?
    {
        return Ok((id.clone(), secret.clone()));
    }
    // A place is registered once; a lost secret makes another place of this one.
    let place = format!("dev-{}", change.now().ms());
    let edge = edge_sync::register(change, &place).await?;
    Ok((edge.edge_id.to_string(), edge.secret.reveal().to_owned()))
}
