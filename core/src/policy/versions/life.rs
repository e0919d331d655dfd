//! What a version may become, and what becomes of the one that was there.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use super::model::{Shown, State as Life, VersionDigest};
use super::{may, may_even_when_spent, store};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::change::Change;
use crate::error::Failure;
use crate::etag::Versioned;
use crate::ids::OrgId;
use crate::path::{Id, Ids};
use crate::tenants;

/// A body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

type Moved = Result<Versioned<Shown>, Failure>;

pub(super) async fn shadow(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Moved {
    caller_moves(&app, &caller, org_id, &digest.0, Life::Shadow).await
}

pub(super) async fn activate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Moved {
    caller_moves(&app, &caller, org_id, &digest.0, Life::Active).await
}

pub(super) async fn retire(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Moved {
    caller_moves(&app, &caller, org_id, &digest.0, Life::Retired).await
}

async fn caller_moves(app: &App, caller: &Caller, org_id: OrgId, digest: &str, to: Life) -> Moved {
    if to == Life::Retired {
        may_even_when_spent(app, caller, "policies:write", org_id).await?;
    } else {
        may(app, caller, "policies:write", org_id).await?;
    }
    let mut change = begin(app, caller, org_id).await?;
    let all = store::list(change.connection(), org_id).await?;
    let wanted = all
        .iter()
        .find(|version| version.digest == digest)
        .ok_or(Failure::NotFound)?;
    make(app, change, org_id, &all, wanted, to).await
}

/// Where a rollback starts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// The version that is to be left: said twice, it is left once.
    from: Option<VersionDigest>,
}

/// Back to the version that counted before, by one call.
pub(super) async fn roll_back(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
    JsonBody(body): JsonBody<From>,
) -> Moved {
    may_even_when_spent(&app, &caller, "policies:write", org_id).await?;
    let mut change = begin(&app, &caller, org_id).await?;
    let all = store::list(change.connection(), org_id).await?;
    let active = all.iter().find(|version| version.state == Life::Active);
    if let Some(from) = &body.from
        && active.is_none_or(|active| active.digest != from.0)
    {
        return Err(Failure::Conflict(
            "That version is not the active one.".into(),
        ));
    }
    let earlier = all
        .iter()
        .filter(|version| version.state == Life::Retired && version.activated_at.is_some())
        .max_by_key(|version| version.activated_at);
    let Some(earlier) = earlier else {
        let why = "No version counted before this one.";
        return Err(Failure::Conflict(why.into()));
    };
    make(&app, change, org_id, &all, earlier, Life::Active).await
}

/// A change of a tenant's versions: one at a time.
async fn begin<'a>(app: &'a App, caller: &Caller, org_id: OrgId) -> Result<Change<'a>, Failure> {
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    Ok(change)
}

async fn make(
    app: &App,
    mut change: Change<'_>,
    org_id: OrgId,
    all: &[Shown],
    wanted: &Shown,
    to: Life,
) -> Moved {
    if wanted.state == to {
        return Ok(Versioned(wanted.clone()));
    }
    wanted.can_be_asked()?;
    if (wanted.state, to) == (Life::Active, Life::Shadow) {
        let why = "This version counts: activate another one or retire it first.";
        return Err(Failure::Conflict(why.into()));
    }
    let now = change.now();
    let before = all
        .iter()
        .find(|version| version.state == to && matches!(to, Life::Active | Life::Shadow));
    if let Some(before) = before {
        let becomes = match (to, before.activated_at) {
            (Life::Shadow, None) => Life::Checked,
            _ => Life::Retired,
        };
        store::set_state(
            change.connection(),
            org_id,
            &before.digest,
            becomes,
            None,
            now,
        )
        .await?;
    }
    store::set_state(change.connection(), org_id, &wanted.digest, to, None, now).await?;
    let action = match to {
        Life::Active => "policy.activated",
        Life::Shadow => "policy.shadowed",
        _ => "policy.retired",
    };
    let details = json!({ "was": wanted.state, "instead_of": before.map(|before| &before.digest) });
    change
        .record(org_id, action, &wanted.digest, details)
        .await?;
    change.touch_tenant(org_id);
    let after = store::one(change.connection(), org_id, &wanted.digest)
        .await?
        .ok_or(Failure::NotFound)?;
    change.commit().await?;
    if matches!(to, Life::Active | Life::Shadow) {
        // The first decision need not wait for it; other replicas load it when they ask.
        let (policies, database) = (Arc::clone(&app.policy), app.database.clone());
        let module = after.module_digest.clone();
        tokio::spawn(async move { policies.prepare(&database, org_id, &module).await });
    }
    Ok(Versioned(after))
}
