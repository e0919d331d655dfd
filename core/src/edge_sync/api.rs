//! `GET /api/v1/edge/feed?after=<cursor>`: the revocations, signed, for registered
//! edges. Caches on the way may keep an answer for a second, each for the edge that
//! asked; the page says of when it is.

use std::sync::{Arc, Mutex, PoisonError};

use agentidp_verify::feed::{self, Page};
use agentidp_verify::statement;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::calling::CallingEdge;
use super::store;
use crate::app::App;
use crate::clock::Now;
use crate::error::Failure;
use crate::revocations;

/// How many entries one answer has at most.
const LONGEST_PAGE: i64 = 1_000;
/// How long a page is given again to whoever asks the same: a signature with RSA
/// takes a quarter of a millisecond, and most edges ask for what comes after the
/// last number.
const KEPT_MS: u64 = 100;
/// How many pages are kept meanwhile.
const MOST_KEPT: usize = 16;

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

/// What is signed.
#[derive(Serialize)]
struct Signed {
    iss: String,
    aud: String,
    #[serde(flatten)]
    page: Page,
}

/// The pages that were signed a moment ago, each with what was asked for and its
/// `as_of`.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<(u64, u64, String)>>);

impl Kept {
    fn find(&self, after: u64, now: Now) -> Option<String> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let young = |as_of: u64| as_of + KEPT_MS > now.ms();
        let found = pages
            .iter()
            .find(|(asked, as_of, _)| *asked == after && young(*as_of));
        found.map(|(_, _, page)| page.clone())
    }

    fn keep(&self, after: u64, as_of: u64, page: &str) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|(asked, then, _)| *asked != after && then + KEPT_MS > as_of);
        if pages.len() < MOST_KEPT {
            pages.push((after, as_of, page.to_owned()));
        }
    }
}

async fn feed(
    State(app): State<Arc<App>>,
    _: CallingEdge,
    after: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<([(HeaderName, &'static str); 3], String), Failure> {
    let Query(After { after }) =
        after.map_err(|error| Failure::Unreadable(error.body_text().into()))?;
    let now = Now::read();
    let page = match app.pages.find(after, now) {
        Some(page) => page,
        None => {
            let page = sign(&app, read(&app, after, now).await?)?;
            app.pages.keep(after, now.ms(), &page);
            page
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/agentidp-feed+jwt"),
        // RFC 9111 §3.5: without `public` no shared cache would keep what was asked
        // with credentials.
        (CACHE_CONTROL, "public, max-age=1"),
        (VARY, "Authorization"),
    ];
    Ok((headers, page))
}

/// The page after `after`, as of `now`, which is before anything is read.
async fn read(app: &App, after: u64, now: Now) -> Result<Page, Failure> {
    // The head before the entries: whatever has a number up to it is visible.
    let mut connection = app.database.connection().await?;
    let head = store::head(&mut *connection).await?;
    // A cursor from ahead is from before the database was restored: begin anew.
    let snapshot = after == 0 || after > head;
    let from = if snapshot { 0 } else { after };
    let numbered = revocations::after(&mut *connection, from, LONGEST_PAGE, now).await?;
    let more = numbered.len() as i64 == LONGEST_PAGE;
    let last = numbered.last().map_or(from, |(seq, _)| *seq);
    Ok(Page {
        as_of: now.ms(),
        after,
        snapshot,
        cursor: if more { last } else { last.max(head) },
        more,
        window_ms: app.config.rate_limit_window_ms,
        entries: numbered.into_iter().map(|(_, entry)| entry).collect(),
    })
}

fn sign(app: &App, page: Page) -> Result<String, Failure> {
    let issuer = app.config.issuer.as_str();
    let claims = Signed {
        iss: issuer.to_owned(),
        aud: feed::audience(issuer),
        page,
    };
    let signed = app.keys.signer.state(statement::FEED, &claims);
    signed.map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_given_again_to_whoever_asks_the_same_for_a_moment() {
        let kept = Kept::default();
        let at = Now::from_ms;
        kept.keep(5, 1_000, "five");
        kept.keep(6, 1_050, "six");
        assert_eq!(kept.find(5, at(1_099)).as_deref(), Some("five"));
        assert_eq!(kept.find(5, at(1_100)), None);
        assert_eq!(kept.find(6, at(1_100)).as_deref(), Some("six"));
        assert_eq!(kept.find(7, at(1_000)), None);
        kept.keep(6, 1_120, "six, later");
        assert_eq!(kept.find(6, at(1_219)).as_deref(), Some("six, later"));
        for after in 10..40 {
            kept.keep(after, 1_120, "many");
        }
        assert!(kept.0.lock().unwrap().len() <= MOST_KEPT);
    }
}
