//! `/api/v1/tenants/{org_id}/usage` and `/api/v1/agents/{agent_id}/usage`: what is
//! used of the limits, what is left, and when they begin anew. Reading it is a call
//! like any other, and counted before it is read.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::store;
use crate::app::App;
use crate::caller::Caller;
use crate::clock::Now;
use crate::edge_sync;
use crate::error::Failure;
use crate::ids::{AgentId, OrgId};
use crate::limits::{self, Usage};
use crate::path::Id;

/// The routes of the usage.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/tenants/{org_id}/usage", get(of_tenant))
        .route("/api/v1/agents/{agent_id}/usage", get(of_agent))
}

/// What the tenant's agents have used together.
#[derive(Serialize)]
struct TenantUsage {
    calls_today: Calls,
    tokens_today: Usage,
}

/// Calls of the core's API and at the edges.
#[derive(Serialize)]
struct Calls {
    #[serde(flatten)]
    usage: Usage,
    /// Calls that edges have leased and not used so far as is known: neither used
    /// nor left. What they do not use comes back.
    leased: u64,
}

async fn of_tenant(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Json<TenantUsage>, Failure> {
    caller.may("tenants:read")?;
    if org_id != caller.org_id() && !caller.is_operator() {
        return Err(Failure::NotFound);
    }
    let mut connection = app.database.connection().await?;
    store::one(&mut *connection, org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let tier = store::tier_of(&mut *connection, org_id).await?;
    let now = Now::read();
    let leased = edge_sync::outstanding(&mut connection, org_id, now).await?;
    drop(connection);
    let [calls_today, tokens_today] = limits::used_by_tenant(&app, org_id, &tier, now).await?;
    Ok(Json(TenantUsage {
        calls_today: Calls {
            usage: calls_today.without(leased),
            leased,
        },
        tokens_today,
    }))
}

/// What one agent has used.
#[derive(Serialize)]
struct AgentUsage {
    requests_this_minute: Usage,
    tokens_this_month: Usage,
}

async fn of_agent(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
) -> Result<Json<AgentUsage>, Failure> {
    caller.may("agents:read")?;
    let now = Now::read();
    let client = app
        .clients
        .find(&app.database, agent_id, now)
        .await?
        .filter(|client| client.org_id == caller.org_id())
        .ok_or(Failure::NotFound)?;
    let [requests_this_minute, tokens_this_month] =
        limits::used_by_client(&app, &client, now).await?;
    Ok(Json(AgentUsage {
        requests_this_minute,
        tokens_this_month,
    }))
}
