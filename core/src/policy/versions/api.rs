//! `/api/v1/tenants/{org_id}/policy`: an administrator's versions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

use super::model::{Shown, State as Life, VersionDigest};
use super::{life, may, replay, store, try_it, upload};
use crate::app::App;
use crate::caller::Caller;
use crate::error::Failure;
use crate::etag::{IfMatch, Versioned};
use crate::ids::OrgId;
use crate::path::{Id, Ids};
use crate::tenants;

/// The routes of this feature.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/api/v1/tenants/{org_id}/policy",
            put(upload::upload).get(in_force),
        )
        .route("/api/v1/tenants/{org_id}/policy/versions", get(list))
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}",
            get(one).delete(delete),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}/shadow",
            post(life::shadow),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}/activate",
            post(life::activate),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}/retire",
            post(life::retire),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}/replay",
            post(replay::replay),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/versions/{digest}/differences",
            get(replay::differences),
        )
        .route(
            "/api/v1/tenants/{org_id}/policy/rollback",
            post(life::roll_back),
        )
        .route("/api/v1/tenants/{org_id}/policy/try", post(try_it::try_it))
}

/// What decides, and what watches.
#[derive(Serialize)]
struct InForce {
    active: Option<Shown>,
    shadow: Option<Shown>,
}

async fn in_force(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Json<InForce>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let all = store::list(&mut *app.database.connection().await?, org_id).await?;
    let find = |state| all.iter().find(|version| version.state == state).cloned();
    Ok(Json(InForce {
        active: find(Life::Active),
        shadow: find(Life::Shadow),
    }))
}

/// All of them: a tenant has few.
#[derive(Serialize)]
struct Versions {
    data: Vec<Shown>,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<Json<Versions>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let data = store::list(&mut *app.database.connection().await?, org_id).await?;
    Ok(Json(Versions { data }))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
) -> Result<Versioned<Shown>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let connection = &mut *app.database.connection().await?;
    let version = store::one(connection, org_id, &digest.0).await?;
    version.map(Versioned).ok_or(Failure::NotFound)
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    may(&app, &caller, "policies:write", org_id).await?;
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id).await?;
    let version = store::one(change.connection(), org_id, &digest.0)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&version)?;
    if matches!(version.state, Life::Active | Life::Shadow) {
        let why = "This version is in force: retire it first.";
        return Err(Failure::Conflict(why.into()));
    }
    store::delete(change.connection(), org_id, &version).await?;
    change
        .record(org_id, "policy.deleted", &version.digest, json!(&version))
        .await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
