//! Why a tenant's agents are refused at edges, by the hour:
//! `GET /api/v1/tenants/{org_id}/refusals`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::app::App;
use crate::caller::Caller;
use crate::clock::{Now, from_unix_s};
use crate::error::Failure;
use crate::ids::{AgentId, EdgeId, OrgId, new_v7};
use crate::page::{Listing, Page, PageRequest};
use crate::path::Id;
use crate::tenants;

/// How many a tenant has of one hour at most, of different agents or reasons. Those
/// that are there go on being counted.
const MOST_OF_AN_HOUR: i64 = 1_000;
/// How long they are kept, in days.
const KEPT_DAYS: i64 = 30;
/// How long a report is known that was counted, in minutes: an edge tries again for
/// two.
const REPORTS_KEPT_MINUTES: i64 = 10;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/tenants/{org_id}/refusals", get(list_of))
}

/// Whom an edge refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refused {
    pub(super) org_id: OrgId,
    pub(super) client_id: AgentId,
    pub(super) reason: &'static str,
}

/// How often an agent was refused in an hour for one reason.
#[derive(Debug, Serialize)]
pub(crate) struct Refusals {
    #[serde(skip)]
    pub(crate) refusal_id: Uuid,
    /// When the hour began.
    #[serde(with = "time::serde::rfc3339")]
    hour: OffsetDateTime,
    client_id: AgentId,
    /// A word of `agentidp_verify::report::RESULTS`.
    reason: String,
    count: i64,
}

/// Which of them a list is of: those that meet all that is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    client_id: Option<AgentId>,
    reason: Option<String>,
    /// Of hours from this moment on.
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
}

async fn list_of(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Refusals>>, Failure> {
    caller.may("tenants:read")?;
    if org_id != caller.org_id() && !caller.is_operator() {
        return Err(Failure::NotFound);
    }
    let mut connection = app.database.connection().await?;
    if !tenants::is_there(&mut *connection, org_id).await? {
        return Err(Failure::NotFound);
    }
    let found = list(&mut *connection, org_id, &filter, page).await?;
    Ok(Json(Page::of(found, page, |one| one.refusal_id)))
}

/// A page of the tenant's, oldest first.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    filter: &Filter,
    page: PageRequest,
) -> Result<Vec<Refusals>, sqlx::Error> {
    sqlx::query_as!(
        Refusals,
        r#"SELECT refusal_id, hour, client_id AS "client_id: AgentId", reason, refused AS count
             FROM edge_refusals
            WHERE org_id = $1 AND refusal_id > $2
              AND ($4::uuid IS NULL OR client_id = $4)
              AND ($5::text IS NULL OR reason = $5)
              AND ($6::timestamptz IS NULL OR hour >= $6)
            ORDER BY refusal_id
            LIMIT $3"#,
        org_id.0,
        page.after,
        page.fetch(),
        filter.client_id.map(|id| id.0),
        filter.reason,
        filter.since,
    )
    .fetch_all(executor)
    .await
}

/// Counts a report's refusals, of agents that there are; `false` where the report
/// was counted before.
pub(super) async fn count(
    connection: &mut PgConnection,
    report_id: Uuid,
    edge_id: EdgeId,
    refused: &BTreeMap<Refused, i64>,
    now: Now,
) -> Result<bool, sqlx::Error> {
    let hour = from_unix_s(now.s() / 3_600 * 3_600);
    let ids: Vec<Uuid> = refused
        .iter()
        .map(|_| new_v7(now, &mut rand::rng()))
        .collect();
    let org_ids: Vec<Uuid> = refused.keys().map(|of| of.org_id.0).collect();
    let client_ids: Vec<Uuid> = refused.keys().map(|of| of.client_id.0).collect();
    let reasons: Vec<String> = refused.keys().map(|of| of.reason.to_owned()).collect();
    let counts: Vec<i64> = refused.values().copied().collect();
    sqlx::query_scalar!(
        r#"WITH new AS (
               INSERT INTO edge_reports (report_id, edge_id, received_at) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING
               RETURNING report_id
           ), said AS (
               SELECT u.*
                 FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[])
                      AS u (refusal_id, org_id, client_id, reason, refused)
                 JOIN agents a ON a.agent_id = u.client_id AND a.org_id = u.org_id
           ), held AS (
               SELECT org_id, count(*) AS n FROM edge_refusals
                WHERE hour = $9 AND org_id IN (SELECT org_id FROM said)
                GROUP BY org_id
           ), counted AS (
               INSERT INTO edge_refusals (refusal_id, org_id, hour, client_id, reason, refused)
               SELECT s.refusal_id, s.org_id, $9, s.client_id, s.reason, s.refused
                 FROM said s CROSS JOIN new
                WHERE NOT EXISTS (SELECT FROM held h WHERE h.org_id = s.org_id AND h.n >= $10)
                   OR EXISTS (SELECT FROM edge_refusals r
                               WHERE r.org_id = s.org_id AND r.hour = $9
                                 AND r.client_id = s.client_id AND r.reason = s.reason)
                ORDER BY s.org_id, s.client_id, s.reason
               ON CONFLICT ON CONSTRAINT edge_refusals_unique
               DO UPDATE SET refused = edge_refusals.refused + excluded.refused
           )
           SELECT EXISTS (SELECT FROM new) AS "new!""#,
        report_id,
        edge_id.0,
        now.timestamp(),
        &ids,
        &org_ids,
        &client_ids,
        &reasons,
        &counts,
        hour,
        MOST_OF_AN_HOUR,
    )
    .fetch_one(connection)
    .await
}

/// Deletes all that the tenant has.
pub(crate) async fn delete_all(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM edge_refusals WHERE org_id = $1", org_id.0)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Forgets the reports that nobody repeats any more.
pub(crate) async fn forget_reports(
    connection: &mut PgConnection,
    now: Now,
) -> Result<(), sqlx::Error> {
    let ago = now.timestamp() - time::Duration::minutes(REPORTS_KEPT_MINUTES);
    sqlx::query!("DELETE FROM edge_reports WHERE received_at < $1", ago)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Forgets the hours of long ago.
pub(crate) async fn forget_old(connection: &mut PgConnection, now: Now) -> Result<(), sqlx::Error> {
    let ago = now.timestamp() - time::Duration::days(KEPT_DAYS);
    sqlx::query!("DELETE FROM edge_refusals WHERE hour < $1", ago)
        .execute(connection)
        .await
        .map(|_| ())
}
