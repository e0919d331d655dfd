//! `POST /api/v1/edge/reports`: what edges did, for Prometheus, and why agents were
//! refused, for their tenants. An edge is believed what it says of itself; of agents,
//! what there are of.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentidp_verify::report::{MOST_REFUSALS, RESULTS, Refusal, Report, result};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use uuid::Uuid;

use super::calling::CallingEdge;
use super::refusals::{self, Refused};
use crate::app::App;
use crate::body::JsonBody;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{AgentId, OrgId};

/// The most that one count may say: more is no isolate's in the time between two
/// reports.
const MOST: u64 = 1_000_000_000;

/// The route of the reports.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/edge/reports", post(report))
}

/// The report that was counted, now or before.
#[derive(Serialize)]
struct Counted {
    report_id: Uuid,
}

async fn report(
    State(app): State<Arc<App>>,
    edge: CallingEdge,
    JsonBody(report): JsonBody<Report>,
) -> Result<Json<Counted>, Failure> {
    let report_id: Uuid = report
        .report_id
        .parse()
        .map_err(|_| Failure::invalid("report_id", "must be a UUID"))?;
    if report.refusals.len() > MOST_REFUSALS || report.results.len() > 2 * RESULTS.len() {
        let why = format!("must have at most {MOST_REFUSALS} refusals, and a result once");
        return Err(Failure::invalid("refusals", why));
    }
    let now = Now::read();
    let refused = read(&report.refusals);
    let mut connection = app.database.connection().await?;
    let new = refusals::count(&mut connection, report_id, edge.edge_id, &refused, now).await?;
    drop(connection);
    // A second time it would be counted twice. Where the answer to the first was
    // lost on its way here, it is not counted at all.
    if new {
        show(&app, &edge.place, &report, now);
    }
    Ok(Json(Counted { report_id }))
}

/// The refusals that can be anybody's: each once, in one order, so that reports
/// which come together do not wait for one another.
fn read(refusals: &[Refusal]) -> BTreeMap<Refused, i64> {
    let mut read = BTreeMap::new();
    for refusal in refusals {
        let org_id: Result<OrgId, ()> = refusal.org_id.parse();
        let client_id: Result<AgentId, ()> = refusal.client_id.parse();
        if let (Ok(org_id), Ok(client_id)) = (org_id, client_id) {
            let refused = Refused {
                org_id,
                client_id,
                reason: result(&refusal.reason),
            };
            let count = read.entry(refused).or_insert(0_i64);
            *count = count.saturating_add(refusal.count.min(MOST).cast_signed());
        }
    }
    read
}

fn show(app: &App, place: &str, report: &Report, now: Now) {
    let metrics = &app.metrics;
    for (name, count) in &report.results {
        let name = result(name);
        metrics
            .edge_verifications
            .add(&[place, name], (*count).min(MOST));
    }
    for (counter, count) in [
        (&metrics.edge_cache_hits, report.cache_hits),
        (&metrics.edge_cache_misses, report.cache_misses),
        (&metrics.edge_stale_admits, report.stale_admits),
    ] {
        counter.add(&[place], count.min(MOST));
    }
    if let Some(age_ms) = report.revocation_age_ms {
        metrics.edge_admitted_on(place, age_ms as f64 / 1_000.0);
    }
    metrics.edge_reported(place, now.s());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_one_kind_are_added_up_and_those_of_nobody_are_passed_over() {
        let of = |org_id: &str, client_id: &str, reason: &str, count| Refusal {
            org_id: org_id.into(),
            client_id: client_id.into(),
            reason: reason.into(),
            count,
        };
        let (one, other) = (
            "01a209e1-0221-757e-bba8-30b9b72bbe32",
            "01a209e1-0221-757e-bba8-30b9b72bbe33",
        );
        let read = read(&[
            of(one, other, "revoked", 2),
            of(one, other, "expired", 1),
            of(one, other, "revoked", 3),
            of(one, other, "news", u64::MAX),
            of("x", other, "revoked", 1),
            of(one, "\u{0}", "revoked", 1),
        ]);
        let counts: Vec<_> = read.iter().map(|(of, n)| (of.reason, *n)).collect();
        assert_eq!(
            counts,
            [
                ("expired", 1),
                ("other", MOST.cast_signed()),
                ("revoked", 5)
            ]
        );
    }
}
