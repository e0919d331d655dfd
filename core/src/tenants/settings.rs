//! `/api/v1/tenants/{org_id}/settings`: what a tenant's own administrators set.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::json;

use super::model::{ChangeSettings, Settings};
use super::store;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Failure;
use crate::etag::{IfMatch, Versioned};
use crate::ids::OrgId;
use crate::path::Id;
use crate::resources;

/// The route of the settings.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/tenants/{org_id}/settings", get(read).patch(change))
}

async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Versioned<Settings>, Failure> {
    caller.may("policies:read")?;
    check_own(&caller, org_id)?;
    store::settings(&mut *app.database.connection().await?, org_id)
        .await?
        .map(Versioned)
        .ok_or(Failure::NotFound)
}

/// Another tenant's settings are not even the operator's to change.
fn check_own(caller: &Caller, org_id: OrgId) -> Result<(), Failure> {
    if org_id == caller.org_id() {
        return Ok(());
    }
    Err(Failure::NotFound)
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ChangeSettings>,
) -> Result<Versioned<Settings>, Failure> {
    caller.may("policies:write")?;
    check_own(&caller, org_id)?;
    body.check()?;
    let mut change = app.change(caller.agent_id()).await?;
    super::lock(change.connection(), org_id).await?;
    let before = store::settings(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    if let Some(life) = body.token_lifetime_s {
        store::set_token_lifetime(change.connection(), org_id, life).await?;
    }
    if let Some(Some(resource_id)) = body.default_resource
        && !resources::set_default(change.connection(), org_id, resource_id).await?
    {
        let why = "must name one of your resources";
        return Err(Failure::invalid("default_resource", why));
    }
    let after = store::settings(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if after == before {
        return Ok(Versioned(before));
    }
    let details = json!({ "before": before, "after": after });
    change
        .record(org_id, "tenant.settings_changed", org_id, details)
        .await?;
    // A narrowed life is the next token's: older ones end as they say.
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok(Versioned(after))
}
