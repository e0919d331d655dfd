//! The events' SQL.

use sqlx::PgConnection;

use super::Event;

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
