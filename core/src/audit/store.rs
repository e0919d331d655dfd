//! The events' SQL.

use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::Event;
use crate::ids::{AgentId, EventId, OrgId};
use crate::page::PageRequest;

/// Writes `events` with one statement.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    events: Vec<Event>,
) -> Result<(), sqlx::Error> {
    let room = events.len();
    let mut ids = Vec::with_capacity(room);
    let mut times = Vec::with_capacity(room);
    let mut orgs = Vec::with_capacity(room);
    let mut actors = Vec::with_capacity(room);
    let mut actions = Vec::with_capacity(room);
    let mut subjects = Vec::with_capacity(room);
    let mut details = Vec::with_capacity(room);
    for event in events {
        ids.push(event.id.0);
        times.push(event.at.timestamp());
        orgs.push(event.org_id.0);
        actors.push(event.actor.map(|id| id.0));
        actions.push(event.action);
        subjects.push(event.subject);
        details.push(event.details);
    }
    sqlx::query!(
        "INSERT INTO audit_events (event_id, occurred_at, org_id, actor, action, subject, details)
         SELECT event_id, occurred_at, org_id, actor, action, subject, details::jsonb
           FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[],
                       $6::text[], $7::text[])
                AS given (event_id, occurred_at, org_id, actor, action, subject, details)",
        &ids,
        &times,
        &orgs,
        &actors as &[Option<uuid::Uuid>],
        &actions as &[&str],
        &subjects,
        &details,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// An event, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Recorded {
    pub(crate) event_id: EventId,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    actor: Option<AgentId>,
    action: String,
    subject: String,
    details: Value,
}

/// A page of the tenant's events, the last one `until`.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    page: PageRequest,
    until: EventId,
) -> Result<Vec<Recorded>, sqlx::Error> {
    sqlx::query_as!(
        Recorded,
        r#"SELECT event_id AS "event_id: EventId", occurred_at, actor AS "actor: AgentId", action,
                  subject, details
             FROM audit_events
            WHERE org_id = $1 AND event_id > $2 AND event_id <= $4
            ORDER BY event_id
            LIMIT $3"#,
        org_id.0,
        page.after,
        page.fetch(),
        until.0,
    )
    .fetch_all(executor)
    .await
}
