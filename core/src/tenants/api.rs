//! `/api/v1/tenants`: the operator makes and changes tenants; an administrator
//! reads its own.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::create::check_tier;
use super::model::{Filter, Life, Status, Tenant, check_name};
use super::{create, end, export, settings, store, usage};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::{Caller, Operator};
use crate::credentials::IssuedCredential;
use crate::error::Failure;
use crate::etag::{self, IfMatch, Versioned};
use crate::ids::OrgId;
use crate::limits::cap_after;
use crate::once::{Created, Creation};
use crate::page::{Listing, Page};
use crate::path::Id;
use crate::revocations::Revocation;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/tenants", get(list).post(make))
        .route(
            "/api/v1/tenants/{org_id}",
            get(one).patch(change).delete(end::schedule),
        )
        .merge(settings::routes())
        .merge(usage::routes())
        .merge(export::routes())
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
    creation: Creation<MakeTenant>,
) -> Result<Response, Failure> {
    operator.may()?;
    let actor = operator.agent_id();
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    let body = &creation.body;
    let made = create(&mut change, &body.name, &body.tier).await?;
    let tenant = store::one(change.connection(), made.org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let location = format!("/api/v1/tenants/{}", made.org_id);
    let etag = etag::of(&tenant)?;
    let shown = MadeTenant {
        tenant,
        administrator: made.administrator,
    };
    let created = Created::at(location, Some(etag), &shown)?;
    creation.finish(&app, change, actor, created).await
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Tenant>>, Failure> {
    caller.may("tenants:read")?;
    let only = (!caller.is_operator()).then(|| caller.org_id());
    let mut transaction = app.database.begin().await?;
    let tenants = store::list(&mut transaction, only, &filter, page).await?;
    Ok(Json(Page::of(tenants, page, |tenant| tenant.org_id.0)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Versioned<Tenant>, Failure> {
    caller.may("tenants:read")?;
    if org_id != caller.org_id() && !caller.is_operator() {
        return Err(Failure::NotFound);
    }
    store::one(&mut *app.database.connection().await?, org_id)
        .await?
        .map(Versioned)
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
    if_match: IfMatch,
    JsonBody(body): JsonBody<ChangeTenant>,
) -> Result<Versioned<Tenant>, Failure> {
    let only_stops = body.name.is_none() && body.tier.is_none();
    if !(only_stops && body.status == Some(Status::Suspended)) {
        operator.may()?;
    }
    body.name.as_deref().map_or(Ok(()), check_name)?;
    let life = match body.status {
        None => None,
        Some(Status::Active) => Some(Life::Active),
        Some(Status::Suspended) => Some(Life::Suspended),
        Some(Status::Deleting) => {
            let why = "is active or suspended: a deletion is asked for by DELETE";
            return Err(Failure::invalid("status", why));
        }
    };

    let mut change = app.change(operator.agent_id()).await?;
    let platform = store::lock(change.connection(), org_id).await?;
    if platform.ok_or(Failure::NotFound)? && (body.tier.is_some() || body.status.is_some()) {
        let why = "The operator's own tenant keeps its tier and its status.";
        return Err(Failure::Conflict(why.into()));
    }
    let before = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    end::check_not_begun(change.connection(), org_id).await?;
    let now = change.now();
    store::update(change.connection(), org_id, body.name.as_deref(), life, now).await?;
    if let Some(tier) = body.tier.as_ref().filter(|tier| **tier != before.tier) {
        check_tier(&mut change, tier).await?;
        let old = store::tier_of(change.connection(), org_id).await?;
        store::set_tier(change.connection(), org_id, tier, now).await?;
        let new = store::tier_of(change.connection(), org_id).await?;
        if let Some(rpm) = cap_after(old.ceiling(), new.ceiling()) {
            change.revoke(Revocation::cap(org_id, rpm, now));
        }
    }
    if let Some(life) = life.filter(|life| *life != before.life) {
        let entry = Revocation::of(Kind::Tenant, org_id, org_id, now);
        change.revoke(match life {
            Life::Active => entry.lifted(),
            _ => entry,
        });
    }
    let after = store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if after.is_as(&before) {
        return Ok(Versioned(before));
    }
    let details = json!({
        "name": [before.name, after.name],
        "tier": [before.tier, after.tier],
        "status": [before.life.status(), after.life.status()],
    });
    change
        .record(org_id, "tenant.changed", org_id, details)
        .await?;
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok(Versioned(after))
}
