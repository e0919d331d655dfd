//! `POST /api/v1/edge/leases`: calls for a place of the edge to admit, debited
//! beforehand, and the settlement of those that it has done with
//! ([`agentidp_verify::lease`] says how the two ends agree).

use std::sync::Arc;

use agentidp_verify::lease::{
    LARGEST, Lease, MOST_SETTLEMENTS, Question, Refusal, Request, Response,
};
use agentidp_verify::limit::Window;
use agentidp_verify::statement::LEASE;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::routing::post;
use axum::{Json, Router};
use uuid::Uuid;

use super::calling::CallingEdge;
use super::lease_store::{self, Row, Subject};
use crate::app::App;
use crate::body::JsonBody;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{AgentId, EdgeId, OrgId};
use crate::limits::{self, Debit};

/// How far into another window a question may come, milliseconds: it was asked in
/// its own.
const ON_THE_WAY_MS: u64 = 2_000;

/// The route of the leases.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/edge/leases", post(answer))
}

async fn answer(
    State(app): State<Arc<App>>,
    edge: CallingEdge,
    JsonBody(request): JsonBody<Request>,
) -> Result<([(HeaderName, &'static str); 1], Json<Response>), Failure> {
    if request.settle.len() > MOST_SETTLEMENTS {
        let why = format!("must have at most {MOST_SETTLEMENTS} settlements");
        return Err(Failure::invalid("settle", why));
    }
    for settlement in &request.settle {
        let lease_id = lease_id(&settlement.lease_id)?;
        settle(&app, &edge, lease_id, settlement.used).await?;
    }
    let lease = match request.question {
        None => None,
        Some(question) => Some(grant(&app, &edge, question).await?),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(Response { lease })))
}

fn lease_id(text: &str) -> Result<Uuid, Failure> {
    text.parse()
        .map_err(|_| Failure::invalid("lease_id", "must be a UUID"))
}

/// What a question asks for, read.
struct Asked {
    lease_id: Uuid,
    client_id: AgentId,
    org_id: OrgId,
    window: Window,
}

fn read(app: &App, question: &Question, now: Now) -> Result<Asked, Failure> {
    if !(1..=LARGEST).contains(&question.wanted) {
        let why = format!("must be from 1 to {LARGEST}");
        return Err(Failure::invalid("wanted", why));
    }
    let no_id = |field: &'static str| move |()| Failure::invalid(field, "must be an id");
    let length_ms = app.config.rate_limit_window_ms;
    let at = |ms: u64| Window::at(ms, length_ms).index;
    let near = at(now.ms().saturating_sub(ON_THE_WAY_MS))..=at(now.ms() + ON_THE_WAY_MS);
    if !near.contains(&question.window) {
        // By a clock that is wrong, or too late.
        let why = "This window is not the one that it is now.";
        return Err(Failure::Conflict(why.into()));
    }
    Ok(Asked {
        lease_id: lease_id(&question.lease_id)?,
        client_id: question.client_id.parse().map_err(no_id("client_id"))?,
        org_id: question.org_id.parse().map_err(no_id("org_id"))?,
        window: Window {
            index: question.window,
            length_ms,
        },
    })
}

/// A signed lease of what could be debited; of nothing, with the reason, where
/// nothing could.
async fn grant(app: &App, edge: &CallingEdge, question: Question) -> Result<String, Failure> {
    let (now, edge_id) = (Now::read(), edge.edge_id);
    let asked = read(app, &question, now)?;
    let mut connection = app.database.connection().await?;
    let subject = lease_store::subject(&mut connection, asked.org_id, asked.client_id).await?;
    drop(connection);
    let Some(subject) = subject.filter(|subject| subject.in_service) else {
        let lease = lease(app, edge_id, question, asked.window, None, now);
        return sign(app, &lease);
    };
    let parties = (asked.org_id, asked.client_id);
    let limit = (asked.window, question.limit);
    let debit = limits::debit(app, parties, &subject.tier, limit, question.wanted, now).await?;
    let row = Row {
        edge_id,
        lease_id: asked.lease_id,
        org_id: asked.org_id,
        client_id: asked.client_id,
        granted: debit.granted,
        debited: debit.from,
        ends_ms: asked.window.ends_ms(),
    };
    let mut connection = match app.database.connection().await {
        Ok(connection) => connection,
        Err(error) => {
            // No row was written: nobody will ever settle it.
            limits::credit(app, parties, debit.from, debit.granted, now).await;
            return Err(error.into());
        }
    };
    if !lease_store::insert(&mut connection, &row).await? {
        drop(connection);
        limits::credit(app, parties, debit.from, debit.granted, now).await;
        let why = "There is, or was, a lease of this id.";
        return Err(Failure::Conflict(why.into()));
    }
    drop(connection);
    let granted = (&subject, &debit);
    let lease = lease(app, edge_id, question, asked.window, Some(granted), now);
    count(app, &edge.place, &lease);
    sign(app, &lease)
}

fn lease(
    app: &App,
    edge_id: EdgeId,
    question: Question,
    window: Window,
    granted: Option<(&Subject, &Debit)>,
    now: Now,
) -> Lease {
    // Never in a second that an entry covers: this lease knows it.
    let after = granted.and_then(|(subject, _)| subject.dead_until);
    let debit = granted.map(|(_, debit)| debit);
    let minute_spent = debit
        .and_then(|debit| debit.minute)
        .is_some_and(|minute| minute.left() == 0);
    let refused = match debit {
        None => Some(Refusal::OutOfService),
        Some(debit) if debit.granted > 0 => None,
        Some(_) if minute_spent => Some(Refusal::Minute),
        Some(_) => Some(Refusal::Day),
    };
    Lease {
        iss: app.config.issuer.as_str().to_owned(),
        aud: edge_id.to_string(),
        iat: after.map_or(now.s(), |dead| now.s().max(dead + 1)),
        exp: window.ends_ms().div_ceil(1_000),
        question,
        window_ms: window.length_ms,
        granted: debit.map_or(0, |debit| debit.granted),
        minute: debit.and_then(|debit| debit.minute),
        day: debit.and_then(|debit| debit.day),
        refused,
    }
}

fn sign(app: &App, lease: &Lease) -> Result<String, Failure> {
    app.keys.signer.state(LEASE, lease).map_err(|_| {
        tracing::error!("a lease could not be signed");
        Failure::Internal
    })
}

/// What the metrics say of a lease.
fn count(app: &App, place: &str, lease: &Lease) {
    let question = &lease.question;
    let granted = [place, "granted"];
    app.metrics.edge_leases.add(&granted, lease.granted);
    match lease.refused {
        Some(Refusal::Minute) => app.metrics.rate_limit_hits.count(&[&question.client_id]),
        Some(Refusal::Day) => app
            .metrics
            .billing_limit_rejections
            .count(&[&question.org_id, "calls_per_day"]),
        Some(Refusal::OutOfService) | None => {}
    }
}

/// Settles a lease, once: what was not used comes back into its minute and its day.
async fn settle(app: &App, edge: &CallingEdge, lease_id: Uuid, used: u64) -> Result<(), Failure> {
    let now = Now::read();
    let mut connection = app.database.connection().await?;
    let settled = lease_store::settle(&mut connection, edge.edge_id, lease_id, used, now).await?;
    drop(connection);
    if let Some(settled) = settled {
        let parties = (settled.org_id, settled.client_id);
        let unused = settled.granted - settled.used;
        limits::credit(app, parties, settled.debited, unused, now).await;
        let place = edge.place.as_str();
        app.metrics.edge_leases.add(&[place, "used"], settled.used);
        app.metrics.edge_leases.add(&[place, "returned"], unused);
        if let Some(tier) = settled.tier {
            let labels = [settled.org_id.to_string(), tier];
            let labels = labels.each_ref().map(String::as_str);
            app.metrics.tenant_api_calls.add(&labels, settled.used);
        }
    }
    Ok(())
}
