//! The events' SQL.

use sqlx::PgConnection;

use super::Event;

/// Writes `events` with one statement.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    events: &[Event],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = events.iter().map(|event| event.id.0).collect();
    let times: Vec<_> = events.iter().map(|event| event.at.timestamp()).collect();
    let orgs: Vec<_> = events.iter().map(|event| event.org_id.0).collect();
    let actors: Vec<_> = events
        .iter()
        .map(|event| event.actor.map(|id| id.0))
        .collect();
    let actions: Vec<_> = events.iter().map(|event| event.action.to_owned()).collect();
    let subjects: Vec<_> = events.iter().map(|event| event.subject.clone()).collect();
    let details: Vec<_> = events.iter().map(|event| event.details.clone()).collect();
    sqlx::query!(
        "INSERT INTO audit_events (event_id, occurred_at, org_id, actor, action, subject, details)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[],
                              $6::text[], $7::jsonb[])",
        &ids,
        &times,
        &orgs,
        &actors as &[Option<uuid::Uuid>],
        &actions,
        &subjects,
        &details,
    )
    .execute(connection)
    .await
    .map(|_| ())
}
