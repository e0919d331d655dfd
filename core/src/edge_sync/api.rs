//! `GET /api/v1/edge/feed?after=<cursor>`: the revocations, for registered edges.

use std::sync::Arc;

use agentidp_verify::feed::Page;
use axum::extract::{Query, State};
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::calling::CallingEdge;
use super::store;
use crate::app::App;
use crate::clock::Now;
use crate::error::Failure;
use crate::revocations;

/// How many entries one answer has at most.
const LONGEST_PAGE: i64 = 1_000;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/edge/feed", get(feed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn feed(
    State(app): State<Arc<App>>,
    _: CallingEdge,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<([(HeaderName, &'static str); 1], Json<Page>), Failure> {
    let Query(After { after }) =
        after.map_err(|error| Failure::Unreadable(error.body_text().into()))?;
    let now = Now::read();
    // The head before the entries: whatever has a number up to it is visible.
    let mut connection = app.database.connection().await?;
    let head = store::head(&mut *connection).await?;
    // A cursor from ahead is from before the database was restored: begin anew.
    let after = if after > head { 0 } else { after };
    let numbered = revocations::after(&mut *connection, after, LONGEST_PAGE, now).await?;
    let more = numbered.len() as i64 == LONGEST_PAGE;
    let last = numbered.last().map_or(after, |(seq, _)| *seq);
    let page = Page {
        cursor: if more { last } else { last.max(head) },
        more,
        now_ms: now.ms(),
        window_ms: app.config.rate_limit_window_ms,
        entries: numbered.into_iter().map(|(_, entry)| entry).collect(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(page)))
}
