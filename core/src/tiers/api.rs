//! `/api/v1/tiers`: the operator's alone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

use super::model::{Numbers, Tier, check_changeable, check_name, check_removable};
use super::store;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Operator;
use crate::change::Change;
use crate::error::{Failure, breaks_constraint};
use crate::etag::{IfMatch, Versioned};
use crate::limits::cap_after;
use crate::path::Id;
use crate::revocations::Revocation;

/// How many tiers there may be: each is a series of the metrics.
const MOST_TIERS: i64 = 100;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/tiers", get(list))
        .route("/api/v1/tiers/{tier}", get(one).put(replace).delete(remove))
}

/// All of them; there are at most [`MOST_TIERS`].
#[derive(Serialize)]
struct Tiers {
    data: Vec<Tier>,
}

async fn list(State(app): State<Arc<App>>, operator: Operator) -> Result<Json<Tiers>, Failure> {
    operator.may()?;
    let data = store::list(&mut *app.database.connection().await?).await?;
    Ok(Json(Tiers { data }))
}

async fn one(
    State(app): State<Arc<App>>,
    operator: Operator,
    Id(tier): Id<String>,
) -> Result<Versioned<Tier>, Failure> {
    operator.may()?;
    check_name(&tier).map_err(|_| Failure::NotFound)?;
    store::one(&mut *app.database.connection().await?, &tier)
        .await?
        .map(Versioned)
        .ok_or(Failure::NotFound)
}

/// Makes the tier, or replaces all its numbers.
async fn replace(
    State(app): State<Arc<App>>,
    operator: Operator,
    Id(tier): Id<String>,
    if_match: IfMatch,
    JsonBody(numbers): JsonBody<Numbers>,
) -> Result<Response, Failure> {
    operator.may()?;
    check_name(&tier)?;
    check_changeable(&tier)?;
    numbers.check()?;
    let mut change = app.change(operator.agent_id()).await?;
    let before = match store::lock(change.connection(), &tier).await? {
        Some(before) => Some(before),
        None => make(&mut change, &tier, &numbers, &if_match).await?,
    };
    let Some(before) = before else {
        let made = finish(&app, change, &operator, (&tier, None)).await?;
        return Ok((StatusCode::CREATED, Versioned(made)).into_response());
    };
    if_match.check(&before)?;
    if before.numbers == numbers {
        return Ok(Versioned(before).into_response());
    }
    if let Some(rpm) = cap_after(before.numbers.ceiling(), numbers.ceiling()) {
        let now = change.now();
        change.revoke(Revocation::tier_cap(&tier, operator.org_id(), rpm, now));
    }
    store::update(change.connection(), &tier, &numbers).await?;
    let changed = finish(&app, change, &operator, (&tier, Some(before))).await?;
    Ok(Versioned(changed).into_response())
}

/// Makes the tier; answers with the one that somebody else has made meanwhile.
async fn make(
    change: &mut Change<'_>,
    tier: &str,
    numbers: &Numbers,
    if_match: &IfMatch,
) -> Result<Option<Tier>, Failure> {
    if_match.check_absent()?;
    if store::count(change.connection()).await? >= MOST_TIERS {
        let why = format!("There are at most {MOST_TIERS} tiers.");
        return Err(Failure::Conflict(why.into()));
    }
    if store::insert(change.connection(), tier, numbers).await? {
        return Ok(None);
    }
    Ok(store::lock(change.connection(), tier).await?)
}

/// Records and commits; answers with the tier as it is now.
async fn finish(
    app: &App,
    mut change: Change<'_>,
    operator: &Operator,
    (tier, before): (&str, Option<Tier>),
) -> Result<Tier, Failure> {
    let after = store::one(change.connection(), tier)
        .await?
        .ok_or(Failure::NotFound)?;
    let (action, details) = match before {
        None => ("tier.created", json!(after)),
        Some(before) => ("tier.changed", json!({ "before": before, "after": after })),
    };
    change
        .record(operator.org_id(), action, tier, details)
        .await?;
    change.commit().await?;
    // The others hear of it by the trigger.
    app.clients.forget_all();
    Ok(after)
}

async fn remove(
    State(app): State<Arc<App>>,
    operator: Operator,
    Id(tier): Id<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    check_name(&tier).map_err(|_| Failure::NotFound)?;
    let mut change = app.change(operator.agent_id()).await?;
    let before = store::lock(change.connection(), &tier)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    check_removable(&tier)?;
    store::delete(change.connection(), &tier)
        .await
        .map_err(|error| {
            if breaks_constraint(&error, "tenant_tiers_tier_fkey") {
                Failure::Conflict("There are tenants on this tier.".into())
            } else {
                error.into()
            }
        })?;
    change
        .record(operator.org_id(), "tier.deleted", &tier, json!(before))
        .await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
