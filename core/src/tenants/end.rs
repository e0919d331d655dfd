//! The end of a tenant: out of service at once, deleted when its time of grace is
//! over. Until then an operator can put it back. Its audit events stay, which are
//! final, and so do its revocations, which end by themselves.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use sqlx::PgConnection;

use super::model::{Life, Tenant};
use super::store;
use crate::app::App;
use crate::caller::Operator;
use crate::change::Change;
use crate::clock::Now;
use crate::error::Failure;
use crate::etag::{IfMatch, Versioned};
use crate::ids::OrgId;
use crate::path::Id;
use crate::revocations::Revocation;
use crate::{agents, credentials, edge_sync, once, policy, resources};

/// How many agents, with their credentials, one transaction deletes.
const BATCH: i64 = 200;

/// `DELETE /api/v1/tenants/{org_id}`. Asked again it changes nothing.
pub(super) async fn schedule(
    State(app): State<Arc<App>>,
    operator: Operator,
    Id(org_id): Id<OrgId>,
    if_match: IfMatch,
) -> Result<(StatusCode, Versioned<Tenant>), Failure> {
    let mut change = app.change(operator.agent_id()).await?;
    if store::lock(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?
    {
        let why = "The operator's own tenant stays.";
        return Err(Failure::Conflict(why.into()));
    }
    let before = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    if matches!(before.life, Life::Deleting { .. }) {
        return Ok((StatusCode::ACCEPTED, Versioned(before)));
    }
    let now = change.now();
    let grace = time::Duration::days(app.config.tenant_grace_days.into());
    let deletes_at = now.timestamp() + grace;
    let life = Some(Life::Deleting { deletes_at });
    store::update(change.connection(), org_id, None, life, now).await?;
    change.revoke(Revocation::of(Kind::Tenant, org_id, org_id, now));
    let after = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let details = json!({ "before": before, "after": after });
    change
        .record(org_id, "tenant.deletion_scheduled", org_id, details)
        .await?;
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok((StatusCode::ACCEPTED, Versioned(after)))
}

/// Refuses a change of a tenant that is being deleted: half of it may be gone.
/// `connection` has the tenant locked.
pub(super) async fn check_not_begun(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<(), Failure> {
    // The database's clock, here and below: replicas' own may differ, and one must
    // not put back what another has begun to delete.
    let begun = sqlx::query_scalar!(
        r#"SELECT deletes_at <= clock_timestamp() AS "begun" FROM tenants WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_optional(connection)
    .await?;
    if begun.flatten() == Some(true) {
        let why = "This tenant's time of grace is over: it is being deleted.";
        return Err(Failure::Conflict(why.into()));
    }
    Ok(())
}

/// Deletes what is due, a batch a transaction, so that it can be broken off at any
/// point. Of several replicas each takes what no other one has locked.
pub(crate) async fn end_due(app: &App) -> Result<(), sqlx::Error> {
    loop {
        let mut change =
            Change::begin(&app.database, Some(&app.clients), None, Now::read()).await?;
        let due = sqlx::query_scalar!(
            r#"SELECT org_id AS "org_id: OrgId" FROM tenants
                WHERE status = 'deleting' AND deletes_at <= clock_timestamp()
                ORDER BY deletes_at
                LIMIT 1
                  FOR UPDATE SKIP LOCKED"#,
        )
        .fetch_optional(change.connection())
        .await?;
        let Some(org_id) = due else {
            return Ok(());
        };
        delete_some(&mut change, org_id).await?;
        if change.commit().await.is_err() {
            // It has been logged; the next round goes on.
            return Ok(());
        }
    }
}

/// Deletes the next batch of what the tenant has, and with the last one the tenant.
/// A table that refers to tenants or to agents has its rows deleted here.
async fn delete_some(change: &mut Change<'_>, org_id: OrgId) -> Result<(), sqlx::Error> {
    let agents = agents::some(&mut *change.connection(), org_id, BATCH).await?;
    if !agents.is_empty() {
        let agents: Vec<_> = agents.into_iter().map(|agent| agent.0).collect();
        credentials::delete_of(change.connection(), org_id, &agents).await?;
        once::forget(change.connection(), &agents).await?;
        return agents::delete(change.connection(), org_id, &agents).await;
    }
    resources::delete_all(change.connection(), org_id).await?;
    policy::delete_all(change.connection(), org_id).await?;
    edge_sync::delete_all(change.connection(), org_id).await?;
    let name = store::delete(change.connection(), org_id).await?;
    change
        .record(org_id, "tenant.deleted", org_id, json!({ "name": name }))
        .await?;
    change.touch_tenant(org_id);
    Ok(())
}
