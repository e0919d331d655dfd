//! `/api/v1/tenants`: the operator makes and changes tenants; an administrator
//! reads its own.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::model::{Status, Tenant, check_name, check_tier};
use super::{create, store};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::{Caller, Operator};
use crate::credentials::IssuedCredential;
use crate::error::Failure;
use crate::ids::OrgId;
use crate::page::{Page, PageRequest};
use crate::path::Id;
use crate::revocations::Revocation;

/// The routes below `/api/v1`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/tenants", get(list).post(make))
        .route("/tenants/{org_id}", get(one).patch(change))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeTenant {
    name: String,
    #[serde(default = "free")]
    tier: String,
}

fn free() -> String {
    "free".to_owned()
}

/// A new tenant and the only look at its administrator's secret.
#[derive(Serialize)]
struct MadeTenant {
    #[serde(flatten)]
    tenant: Tenant,
    administrator: IssuedCredential,
}

async fn make(
    State(app): State<Arc<App>>,
    operator: Operator,
    JsonBody(body): JsonBody<MakeTenant>,
) -> Result<(StatusCode, [(&'static str, String); 1], Json<MadeTenant>), Failure> {
    operator.may()?;
    let mut change = app.change(operator.agent_id()).await?;
    let made = create(&mut change, &body.name, &body.tier).await?;
    let tenant = store::one(change.connection(), made.org_id).await?;
    change.commit().await?;
    let answer = MadeTenant {
        tenant: tenant.ok_or(Failure::NotFound)?,
        administrator: made.administrator,
    };
    let location = format!("/api/v1/tenants/{}", made.org_id);
    Ok((StatusCode::CREATED, [("location", location)], Json(answer)))
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    page: PageRequest,
) -> Result<Json<Page<Tenant>>, Failure> {
    caller.may("tenants:read")?;
    let tenants = if caller.is_operator() {
        store::list(&app.pool, page).await?
    } else {
        let own = store::one(&app.pool, caller.org_id()).await?;
        own.into_iter()
            .filter(|own| own.org_id.0 > page.after)
            .collect()
    };
    Ok(Json(Page::of(tenants, page, |tenant| tenant.org_id.0)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Json<Tenant>, Failure> {
    caller.may("tenants:read")?;
    if org_id != caller.org_id() && !caller.is_operator() {
        return Err(Failure::NotFound);
    }
    store::one(&app.pool, org_id)
        .await?
        .map(Json)
        .ok_or(Failure::NotFound)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeTenant {
    name: Option<String>,
    tier: Option<String>,
    status: Option<Status>,
}

async fn change(
    State(app): State<Arc<App>>,
    operator: Operator,
    Id(org_id): Id<OrgId>,
    JsonBody(body): JsonBody<ChangeTenant>,
) -> Result<Json<Tenant>, Failure> {
    let only_stops = body.name.is_none() && body.tier.is_none();
    if !(only_stops && body.status == Some(Status::Suspended)) {
        operator.may()?;
    }
    body.name.as_deref().map_or(Ok(()), check_name)?;
    body.tier.as_deref().map_or(Ok(()), check_tier)?;

    let mut change = app.change(operator.agent_id()).await?;
    let platform = store::lock(change.connection(), org_id).await?;
    if platform.ok_or(Failure::NotFound)? && (body.tier.is_some() || body.status.is_some()) {
        let why = "The operator's own tenant keeps its tier and its status.";
        return Err(Failure::Conflict(why.into()));
    }
    let before = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let now = change.now();
    store::update(
        change.connection(),
        org_id,
        body.name.as_deref(),
        body.status,
        now,
    )
    .await?;
    if let Some(tier) = &body.tier {
        let old = store::tier_of(change.connection(), org_id).await?;
        store::set_tier(change.connection(), org_id, tier, now).await?;
        let new = store::tier_of(change.connection(), org_id).await?;
        if let Some(rpm) = new.requests_per_minute
            && old.requests_per_minute.is_none_or(|old| old > rpm)
        {
            change.revoke(Revocation::cap(org_id, rpm, now));
        }
    }
    if let Some(status) = body.status.filter(|status| *status != before.status) {
        let entry = Revocation::of(Kind::Tenant, org_id, org_id, now);
        change.revoke(match status {
            Status::Suspended => entry,
            Status::Active => entry.lifted(),
        });
    }
    let after = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if after.is_as(&before) {
        return Ok(Json(before));
    }
    let details = json!({
        "name": [before.name, after.name],
        "tier": [before.tier, after.tier],
        "status": [before.status, after.status],
    });
    change
        .record(org_id, "tenant.changed", org_id, details)
        .await?;
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok(Json(after))
}
