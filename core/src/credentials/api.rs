//! `/api/v1/agents/{agent_id}/credentials`.

use std::sync::Arc;

use agentidp_verify::feed::Kind;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use super::model::{Credential, Filter};
use super::rotate::{Rotation, rotate};
use super::{issue, store};
use crate::agents::{self, Agent};
use crate::app::App;
use crate::caller::Caller;
use crate::change::Change;
use crate::clock::Now;
use crate::error::Failure;
use crate::etag::{self, IfMatch};
use crate::ids::{AgentId, CredentialId, OrgId};
use crate::once::{Created, Creation};
use crate::page::{Listing, Page};
use crate::path::{Id, Ids};
use crate::revocations::Revocation;

/// How many credentials of one agent may work at a time.
const MOST_ACTIVE: i64 = 50;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/credentials", get(list_all))
        .route(
            "/api/v1/agents/{agent_id}/credentials",
            get(list).post(make),
        )
        .route(
            "/api/v1/agents/{agent_id}/credentials/{credential_id}",
            get(one).delete(revoke),
        )
        .route(
            "/api/v1/agents/{agent_id}/credentials/{credential_id}/rotate",
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
    creation: Creation<MakeCredential>,
) -> Result<Response, Failure> {
    caller.may("credentials:write")?;
    let (org_id, actor) = (caller.org_id(), caller.agent_id());
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    check_holder(&caller, &agent)?;
    check_count(&mut change, org_id, agent_id).await?;
    let expires_at = creation.body.expires_at;
    let issued = issue(&mut change, org_id, agent_id, expires_at).await?;
    let created = shown_once(agent_id, issued.credential_id, &issued)?;
    creation.finish(&app, change, actor, created).await
}

async fn replace(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
    if_match: IfMatch,
    creation: Creation<Rotation>,
) -> Result<Response, Failure> {
    caller.may("credentials:write")?;
    let (org_id, actor) = (caller.org_id(), caller.agent_id());
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let now = change.now();
    let old = store::one(change.connection(), org_id, agent_id, credential_id, now)
        .await?
        .ok_or(Failure::NotFound)?;
    check_holder(&caller, &agent)?;
    if_match.check(&old.version())?;
    check_count(&mut change, org_id, agent_id).await?;
    let rotated = rotate(&mut change, org_id, &old, &creation.body).await?;
    let created = shown_once(agent_id, rotated.issued.credential_id, &rotated)?;
    creation.finish(&app, change, actor, created).await
}

/// The answer that shows a secret.
fn shown_once(
    agent_id: AgentId,
    credential_id: CredentialId,
    body: &impl Serialize,
) -> Result<Created, Failure> {
    let location = format!("/api/v1/agents/{agent_id}/credentials/{credential_id}");
    Created::at(location, None, body)
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
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Credential>>, Failure> {
    caller.may("credentials:read")?;
    let org_id = caller.org_id();
    let mut connection = app.database.connection().await?;
    agents::one(&mut *connection, org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let (agent_id, now) = (Some(agent_id), Now::read());
    let found = store::list(&mut *connection, org_id, agent_id, &filter, page, now).await?;
    Ok(Json(Page::of(found, page, |one| one.credential_id.0)))
}

/// The tenant's, of all its agents: what ends soon, say.
async fn list_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Credential>>, Failure> {
    caller.may("credentials:read")?;
    let (org_id, now) = (caller.org_id(), Now::read());
    let connection = &mut *app.database.connection().await?;
    let found = store::list(connection, org_id, None, &filter, page, now).await?;
    Ok(Json(Page::of(found, page, |one| one.credential_id.0)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
) -> Result<Response, Failure> {
    caller.may("credentials:read")?;
    let (org_id, now) = (caller.org_id(), Now::read());
    let connection = &mut *app.database.connection().await?;
    let found = store::one(connection, org_id, agent_id, credential_id, now).await?;
    let found = found.ok_or(Failure::NotFound)?;
    Ok(([(ETAG, etag::of(&found.version())?)], Json(found)).into_response())
}

async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(agent_id, credential_id): Ids<AgentId, CredentialId>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    caller.may_even_when_spent("credentials:write")?;
    let org_id = caller.org_id();
    let mut change = app.change(caller.agent_id()).await?;
    let agent = agents::lock(change.connection(), org_id, agent_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let now = change.now();
    let found = store::one(change.connection(), org_id, agent_id, credential_id, now).await?;
    let found = found.ok_or(Failure::NotFound)?;
    caller.may_touch(&agent.scopes)?;
    if_match.check(&found.version())?;
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
