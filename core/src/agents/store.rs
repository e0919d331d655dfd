//! The agents' SQL. Every statement names the tenant.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::create::NewAgent;
use super::model::{Agent, Description, Filter, Status};
use crate::clock::Now;
use crate::ids::{AgentId, OrgId};
use crate::page::PageRequest;

pub(super) async fn insert(
    connection: &mut PgConnection,
    org_id: OrgId,
    agent_id: AgentId,
    new: &NewAgent,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO agents (agent_id, org_id, name, agent_type, version, capabilities, owner,
                             deployment_env, status, scopes, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $10, $10)",
        agent_id.0,
        org_id.0,
        new.name,
        new.agent_type,
        new.version,
        &new.capabilities,
        new.owner,
        new.deployment_env,
        &new.scopes,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

pub(crate) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    agent_id: AgentId,
) -> Result<Option<Agent>, sqlx::Error> {
    sqlx::query_as!(
        Agent,
        r#"SELECT agent_id AS "agent_id: AgentId", org_id AS "org_id: OrgId", name, agent_type,
                  version, capabilities, owner, deployment_env, status AS "status: Status",
                  scopes, created_at, updated_at
             FROM agents
            WHERE org_id = $1 AND agent_id = $2"#,
        org_id.0,
        agent_id.0,
    )
    .fetch_optional(executor)
    .await
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    org_id: OrgId,
    agent_id: AgentId,
) -> Result<Option<Agent>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT agent_id FROM agents WHERE org_id = $1 AND agent_id = $2 FOR UPDATE",
        org_id.0,
        agent_id.0,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match found {
        Some(_) => one(connection, org_id, agent_id).await,
        None => Ok(None),
    }
}

pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    filter: &Filter,
    page: PageRequest,
) -> Result<Vec<Agent>, sqlx::Error> {
    sqlx::query_as!(
        Agent,
        r#"SELECT agent_id AS "agent_id: AgentId", org_id AS "org_id: OrgId", name, agent_type,
                  version, capabilities, owner, deployment_env, status AS "status: Status",
                  scopes, created_at, updated_at
             FROM agents
            WHERE org_id = $1 AND agent_id > $2
              AND ($4::text IS NULL OR status = $4)
              AND ($5::text IS NULL OR deployment_env = $5)
              AND ($6::text IS NULL OR owner = $6)
              AND ($7::text IS NULL OR agent_type = $7)
              AND ($8::text IS NULL OR position(lower($8) IN lower(name)) > 0)
            ORDER BY agent_id
            LIMIT $3"#,
        org_id.0,
        page.after,
        page.fetch(),
        filter.status.map(Status::word),
        filter.deployment_env,
        filter.owner,
        filter.agent_type,
        filter.q,
    )
    .fetch_all(executor)
    .await
}

/// Up to `most` of the tenant's agents, in their order.
pub(crate) async fn some(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    most: i64,
) -> Result<Vec<AgentId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT agent_id AS "agent_id: AgentId" FROM agents
            WHERE org_id = $1 ORDER BY agent_id LIMIT $2"#,
        org_id.0,
        most,
    )
    .fetch_all(executor)
    .await
}

/// Deletes agents that have no credentials any more.
pub(crate) async fn delete(
    connection: &mut PgConnection,
    org_id: OrgId,
    agents: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM agents WHERE org_id = $1 AND agent_id = ANY ($2)",
        org_id.0,
        agents,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// How many active agents of the tenant can register others.
pub(super) async fn count_administrators(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM agents
            WHERE org_id = $1 AND status = 'active' AND 'agents:write' = ANY (scopes)"#,
        org_id.0,
    )
    .fetch_one(connection)
    .await
}

pub(super) async fn update(
    connection: &mut PgConnection,
    org_id: OrgId,
    agent_id: AgentId,
    change: &Description,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE agents
            SET name = coalesce($3, name),
                agent_type = coalesce($4, agent_type),
                version = coalesce($5, version),
                capabilities = coalesce($6, capabilities),
                owner = coalesce($7, owner),
                deployment_env = coalesce($8, deployment_env),
                status = coalesce($9, status),
                scopes = coalesce($10, scopes),
                updated_at = $11
          WHERE org_id = $1 AND agent_id = $2",
        org_id.0,
        agent_id.0,
        change.name,
        change.agent_type,
        change.version,
        change.capabilities.as_deref(),
        change.owner,
        change.deployment_env,
        change.status.map(Status::word),
        change.scopes.as_deref(),
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}
