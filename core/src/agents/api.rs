//! `/api/v1/agents`.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::create::{NewAgent, create, name_taken};
use super::model::{Agent, Description, Filter, Status};
use super::store;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::change::Change;
use crate::error::Failure;
use crate::etag::{self, IfMatch, Versioned};
use crate::ids::AgentId;
use crate::once::{Created, Creation};
use crate::page::{Listing, Page};
use crate::path::Id;
use crate::revocations::Revocation;
use crate::{resources, scope, tenants};

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/agents", get(list).post(register))
        .route(
            "/api/v1/agents/{agent_id}",
            get(one).patch(change).delete(decommission),
        )
}

async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    creation: Creation<Description>,
) -> Result<Response, Failure> {
    caller.may("agents:write")?;
    let body = &creation.body;
    body.check()?;
    if body.status.is_some_and(|status| status != Status::Active) {
        return Err(Failure::invalid("status", "is active for a new agent"));
    }
    let name = body
        .name
        .clone()
        .ok_or_else(|| Failure::invalid("name", "is required"))?;
    let unsaid = NewAgent::named(&name);
    let new = NewAgent {
        agent_type: body.agent_type.clone().unwrap_or(unsaid.agent_type),
        version: body.version.clone().unwrap_or(unsaid.version),
        capabilities: body.capabilities.clone().unwrap_or_default(),
        owner: body.owner.clone().unwrap_or_default(),
        deployment_env: body.deployment_env.clone().unwrap_or(unsaid.deployment_env),
        scopes: body.scopes.clone().unwrap_or_default(),
        name,
    };

    let org_id = caller.org_id();
    let actor = caller.agent_id();
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    check_grant(&mut change, &caller, &new.scopes).await?;
    let agent_id = create(&mut change, org_id, new).await?;
    let agent = store::one(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let location = format!("/api/v1/agents/{agent_id}");
    let created = Created::at(location, Some(etag::of(&agent)?), &agent)?;
    let answer = creation.finish(&app, change, actor, created).await?;
    app.metrics
        .agents_registered
        .count(&[&agent.deployment_env]);
    Ok(answer)
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Agent>>, Failure> {
    caller.may("agents:read")?;
    let connection = &mut *app.database.connection().await?;
    let agents = store::list(connection, caller.org_id(), &filter, page).await?;
    Ok(Json(Page::of(agents, page, |agent| agent.agent_id.0)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
) -> Result<Versioned<Agent>, Failure> {
    caller.may("agents:read")?;
    let agent = store::one(
        &mut *app.database.connection().await?,
        caller.org_id(),
        agent_id,
    )
    .await?;
    agent.map(Versioned).ok_or(Failure::NotFound)
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
    if_match: IfMatch,
    JsonBody(body): JsonBody<Description>,
) -> Result<Versioned<Agent>, Failure> {
    if body.only_stops() {
        caller.may_even_when_spent("agents:write")?;
    } else {
        caller.may("agents:write")?;
    }
    body.check()?;
    let changed = apply(&app, &caller, agent_id, &if_match, body).await?;
    Ok(Versioned(changed))
}

async fn decommission(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    caller.may_even_when_spent("agents:write")?;
    let stop = Description {
        status: Some(Status::Decommissioned),
        ..Description::default()
    };
    apply(&app, &caller, agent_id, &if_match, stop).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn apply(
    app: &App,
    caller: &Caller,
    agent_id: AgentId,
    if_match: &IfMatch,
    body: Description,
) -> Result<Agent, Failure> {
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    let before = store::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    caller.may_touch(&before.scopes)?;
    if_match.check(&before)?;
    if before.status == Status::Decommissioned {
        // To do again what is done changes nothing.
        return if body.only_stops() && body.status == Some(Status::Decommissioned) {
            Ok(before)
        } else {
            Err(Failure::Conflict(
                "A decommissioned agent cannot be changed.".into(),
            ))
        };
    }
    if let Some(scopes) = &body.scopes {
        let added: Vec<_> = scopes
            .iter()
            .filter(|scope| !before.scopes.contains(scope))
            .cloned()
            .collect();
        check_grant(&mut change, caller, &added).await?;
    }
    let now = change.now();
    store::update(change.connection(), org_id, agent_id, &body, now)
        .await
        .map_err(name_taken)?;
    let after = store::one(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    if after.is_as(&before) {
        return Ok(before);
    }
    if before.administers() && !after.administers() {
        // Of two administrators that end each other at once, one is left.
        tenants::lock(change.connection(), org_id).await?;
        if store::count_administrators(change.connection(), org_id).await? == 0 {
            let why = "This is the tenant's last administrator: make another one first.";
            return Err(Failure::Conflict(why.into()));
        }
    }
    let entry = Revocation::of(Kind::Agent, agent_id, org_id, now);
    let narrowed = before
        .scopes
        .iter()
        .any(|scope| !after.scopes.contains(scope));
    match after.status {
        Status::Active if before.status != Status::Active => change.revoke(entry.lifted()),
        // What older tokens say is no longer true: new ones are to be got.
        Status::Active if narrowed => change.revoke(entry.lifted()),
        Status::Suspended | Status::Decommissioned if after.status != before.status => {
            change.revoke(entry);
        }
        _ => {}
    }
    let action = match (before.status, after.status) {
        (_, Status::Decommissioned) => "agent.decommissioned",
        (Status::Active, Status::Suspended) => "agent.suspended",
        (Status::Suspended, Status::Active) => "agent.reactivated",
        _ => "agent.changed",
    };
    let details = json!({ "before": before, "after": after });
    change.record(org_id, action, agent_id, details).await?;
    change.touch_agent(org_id, agent_id);
    change.commit().await?;
    Ok(after)
}

/// An administrator grants the scopes of its tenant's resources, and of the
/// management scopes those that it holds itself.
async fn check_grant(
    change: &mut Change<'_>,
    caller: &Caller,
    scopes: &[String],
) -> Result<(), Failure> {
    if scopes.is_empty() {
        return Ok(());
    }
    let defined = resources::defined_scopes(change.connection(), caller.org_id()).await?;
    for granted in scopes {
        if scope::is_management(granted) {
            if !caller.holds(granted) {
                let why = format!("You cannot grant {granted}, which you do not hold.");
                return Err(Failure::Forbidden(why.into()));
            }
        } else if !defined.contains(granted) {
            let why = format!("{granted:?} is not a scope of one of your resources");
            return Err(Failure::invalid("scopes", why));
        }
    }
    Ok(())
}
