//! `/api/v1/agents/{agent_id}/credentials`.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use super::model::Credential;
use super::rotate::{Rotation, rotate};
use super::{issue, store};
use crate::agents::{self, Agent};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::change::Change;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{AgentId, CredentialId, OrgId};
use crate::page::{Page, PageRequest};
use crate::path::{Id, Ids};
use crate::revocations::Revocation;

/// How many credentials of one agent may work at a time.
const MOST_ACTIVE: i64 = 50;

/// The routes below `/api/v1`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/agents/{agent_id}/credentials", get(list).post(make))
        .route(
            "/agents/{agent_id}/credentials/{credential_id}",
            get(one).delete(revoke),
        )
        .route(
            "/agents/{agent_id}/credentials/{credential_id}/rotate",
            post(replace),
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeCredential {
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
    JsonBody(body): JsonBody<MakeCredential>,
) -> Result<Response, Failure> {
    caller.may("credentials:write")?;
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    check_holder(&caller, &agent)?;
    check_count(&mut change, org_id, agent_id).await?;
    let issued = issue(&mut change, org_id, agent_id, body.expires_at).await?;
    change.commit().await?;
    Ok(shown_once(agent_id, issued.credential_id, issued))
}

async fn replace(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
    JsonBody(body): JsonBody<Rotation>,
) -> Result<Response, Failure> {
    caller.may("credentials:write")?;
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let now = change.now();
    let old = store::one(change.connection(), org_id, agent_id, credential_id, now)
        .await?
        .ok_or(Failure::NotFound)?;
    check_holder(&caller, &agent)?;
    check_count(&mut change, org_id, agent_id).await?;
    let rotated = rotate(&mut change, org_id, &old, &body).await?;
    change.commit().await?;
    Ok(shown_once(agent_id, rotated.issued.credential_id, rotated))
}

/// The answer that shows a secret.
fn shown_once(agent_id: AgentId, credential_id: CredentialId, body: impl Serialize) -> Response {
    let location = format!("/api/v1/agents/{agent_id}/credentials/{credential_id}");
    let headers = [
        ("location", location),
        (CACHE_CONTROL.as_str(), "no-store".to_owned()),
    ];
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

/// An agent's working credentials are bounded.
async fn check_count(
    change: &mut Change<'_>,
    org_id: OrgId,
    agent_id: AgentId,
) -> Result<(), Failure> {
    let now = change.now();
    if store::count_active(change.connection(), org_id, agent_id, now).await? < MOST_ACTIVE {
        return Ok(());
    }
    let why = format!("An agent has at most {MOST_ACTIVE} credentials that work.");
    Err(Failure::Conflict(why.into()))
}

/// Nobody makes a credential for an agent that holds more than it does: with it
/// one would hold as much. Who may grant resource scopes holds them in effect.
fn check_holder(caller: &Caller, agent: &Agent) -> Result<(), Failure> {
    if agent.status == agents::Status::Decommissioned {
        let why = "A decommissioned agent gets no credential.";
        return Err(Failure::Conflict(why.into()));
    }
    caller.may_touch(&agent.scopes)?;
    let grants = caller.holds("agents:write");
    if grants || agent.scopes.iter().all(|scope| caller.holds(scope)) {
        return Ok(());
    }
    let why = "The agent holds scopes that you neither hold nor can grant.";
    Err(Failure::Forbidden(why.into()))
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(agent_id): Id<AgentId>,
    page: PageRequest,
) -> Result<Json<Page<Credential>>, Failure> {
    caller.may("credentials:read")?;
    let org_id = caller.org_id();
    agents::one(&app.pool, org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let credentials = store::list(&app.pool, org_id, agent_id, page, Now::read()).await?;
    Ok(Json(Page::of(credentials, page, |credential| {
        credential.credential_id.0
    })))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
) -> Result<Json<Credential>, Failure> {
    caller.may("credentials:read")?;
    let org_id = caller.org_id();
    let found = store::one(&app.pool, org_id, agent_id, credential_id, Now::read()).await?;
    found.map(Json).ok_or(Failure::NotFound)
}

async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
) -> Result<StatusCode, Failure> {
    caller.may_even_when_spent("credentials:write")?;
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let now = change.now();
    let found = store::one(change.connection(), org_id, agent_id, credential_id, now).await?;
    found.ok_or(Failure::NotFound)?;
    caller.may_touch(&agent.scopes)?;
    let by = caller.agent_id();
    if store::revoke(
        change.connection(),
        org_id,
        agent_id,
        credential_id,
        by,
        now,
    )
    .await?
    {
        change.revoke(Revocation::of(Kind::Grant, credential_id, org_id, now));
        let details = json!({ "agent_id": agent_id });
        change
            .record(org_id, "credential.revoked", credential_id, details)
            .await?;
        change.touch_agent(org_id, agent_id);
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
