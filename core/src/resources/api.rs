//! `/api/v1/resources`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::model::{NewResource, Resource, check_identifier, check_scopes};
use super::store;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::{Failure, breaks_constraint};
use crate::etag::{self, IfMatch, Versioned};
use crate::ids::ResourceId;
use crate::once::{Created, Creation};
use crate::page::{Page, PageRequest};
use crate::path::Id;
use crate::{tenants, text};

/// How many resources a tenant may have.
const MOST_RESOURCES: i64 = 100;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/resources", get(list).post(make))
        .route(
            "/api/v1/resources/{resource_id}",
            get(one).patch(change).delete(remove),
        )
}

async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    creation: Creation<NewResource>,
) -> Result<Response, Failure> {
    caller.may("resources:write")?;
    let body = &creation.body;
    check_identifier(&body.identifier, app.config.issuer.as_str())?;
    check_scopes(&body.scopes)?;
    body.name
        .as_deref()
        .map_or(Ok(()), |name| text::check("name", name, 1, 200))?;

    let (org_id, actor) = (caller.org_id(), caller.agent_id());
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    // Two changes of a tenant's resources follow one another: it has one default.
    tenants::lock(change.connection(), org_id).await?;
    if store::count(change.connection(), org_id).await? >= MOST_RESOURCES {
        return Err(Failure::Conflict(
            format!("A tenant has at most {MOST_RESOURCES} resources.").into(),
        ));
    }
    let now = change.now();
    let resource_id = ResourceId::new(now, &mut rand::rng());
    store::insert(change.connection(), org_id, resource_id, body, now)
        .await
        .map_err(|error| {
            if breaks_constraint(&error, "resources_identifier_unique") {
                Failure::Conflict("There is a resource with this identifier already.".into())
            } else {
                error.into()
            }
        })?;
    if body.default {
        store::set_default(change.connection(), org_id, resource_id).await?;
    }
    let made = store::one(change.connection(), org_id, resource_id)
        .await?
        .ok_or(Failure::NotFound)?;
    change
        .record(org_id, "resource.created", resource_id, json!(&made))
        .await?;
    change.touch_tenant(org_id);
    let location = format!("/api/v1/resources/{resource_id}");
    let created = Created::at(location, Some(etag::of(&made)?), &made)?;
    creation.finish(&app, change, actor, created).await
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    page: PageRequest,
) -> Result<Json<Page<Resource>>, Failure> {
    caller.may("resources:read")?;
    let resources = store::list(
        &mut *app.database.connection().await?,
        caller.org_id(),
        page,
    )
    .await?;
    Ok(Json(Page::of(resources, page, |resource| {
        resource.resource_id.0
    })))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(resource_id): Id<ResourceId>,
) -> Result<Versioned<Resource>, Failure> {
    caller.may("resources:read")?;
    let resource = store::one(
        &mut *app.database.connection().await?,
        caller.org_id(),
        resource_id,
    )
    .await?;
    resource.map(Versioned).ok_or(Failure::NotFound)
}

/// What of a resource can be changed; its identifier cannot, since tokens and
/// edges name it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeResource {
    name: Option<String>,
    scopes: Option<Vec<String>>,
    default: Option<bool>,
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(resource_id): Id<ResourceId>,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ChangeResource>,
) -> Result<Versioned<Resource>, Failure> {
    caller.may("resources:write")?;
    body.name
        .as_deref()
        .map_or(Ok(()), |name| text::check("name", name, 1, 200))?;
    body.scopes.as_deref().map_or(Ok(()), check_scopes)?;

    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id).await?;
    let before = store::one(change.connection(), org_id, resource_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    if body.default == Some(false) && before.default {
        let why = "A tenant has one default: make another resource the default instead.";
        return Err(Failure::Conflict(why.into()));
    }
    let now = change.now();
    let (name, scopes) = (body.name.as_deref(), body.scopes.as_deref());
    store::update(change.connection(), org_id, resource_id, name, scopes, now).await?;
    if body.default == Some(true) {
        store::set_default(change.connection(), org_id, resource_id).await?;
    }
    let after = store::one(change.connection(), org_id, resource_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if after.is_as(&before) {
        return Ok(Versioned(before));
    }
    let details = json!({ "before": before, "after": after });
    change
        .record(org_id, "resource.changed", resource_id, details)
        .await?;
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok(Versioned(after))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(resource_id): Id<ResourceId>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    caller.may_even_when_spent("resources:write")?;
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id).await?;
    let before = store::one(change.connection(), org_id, resource_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if_match.check(&before)?;
    if before.default && store::count(change.connection(), org_id).await? > 1 {
        let why = "This is the default: make another resource the default first.";
        return Err(Failure::Conflict(why.into()));
    }
    store::delete(change.connection(), org_id, resource_id).await?;
    change
        .record(org_id, "resource.deleted", resource_id, json!(&before))
        .await?;
    change.touch_tenant(org_id);
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
