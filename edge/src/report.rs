//! What this isolate did, counted for the core. A request adds to a few numbers; what
//! they came to is sent in the background, after a question for the feed. A report
//! whose answer does not come is sent again as it is, by the same id.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use agentidp_verify::report::{MOST_REFUSALS, RESULTS, Refusal, Report};
use agentidp_verify::{Claims, Rejected};

use crate::clock::local_ms;
use crate::core_api::{self, CoreError, PATIENCE_MS, Question};
use crate::glue;
use crate::settings::Settings;
use crate::tokens::Kept;

/// How often there is a report at most, in milliseconds.
const EVERY_MS: u64 = 5_000;
/// How long one report is tried, in milliseconds: the core knows it for longer.
const TRIED_MS: u64 = 120_000;

#[derive(Default)]
struct Counts {
    results: [Cell<u64>; RESULTS.len()],
    known: Cell<u64>,
    unknown: Cell<u64>,
    stale: Cell<u64>,
    /// The oldest view that a call was let through on; 0 for none.
    oldest_ms: Cell<u64>,
    /// By tenant, client and reason.
    refusals: RefCell<HashMap<(String, String, usize), u64>>,
    /// When the last report was tried.
    tried_ms: Cell<u64>,
    /// One that was not answered yet, and since when.
    pending: RefCell<Option<(String, u64)>>,
}

thread_local! {
    static COUNTS: Counts = Counts::default();
}

/// Counts a verification: whether it was `refused`, and whose `token` it was, if that
/// was verified.
pub(crate) fn count(refused: Option<&Rejected>, token: Option<&Kept>) {
    let index = refused.map_or(0, Rejected::index);
    COUNTS.with(|counts| add(&counts.results[index]));
    if let (Some(rejected), Some(token)) = (refused, token) {
        self::refused(token.verified().claims(), rejected);
    }
}

/// Counts a token that was `known`, or was not.
pub(crate) fn known(known: bool) {
    COUNTS.with(|counts| {
        add(if known {
            &counts.known
        } else {
            &counts.unknown
        })
    });
}

/// Counts a call that was let through on a view that was too old.
pub(crate) fn stale() {
    COUNTS.with(|counts| add(&counts.stale));
}

/// A call was let through on a view of this age.
pub(crate) fn view_was(age_ms: u64) {
    COUNTS.with(|counts| counts.oldest_ms.set(counts.oldest_ms.get().max(age_ms)));
}

/// Counts a refusal of a token that the issuer signed, for its tenant.
pub(crate) fn refused(claims: &Claims, rejected: &Rejected) {
    COUNTS.with(|counts| {
        let mut refusals = counts.refusals.borrow_mut();
        let whose = (
            claims.org_id.clone(),
            claims.client_id.clone(),
            rejected.index(),
        );
        if let Some(count) = refusals.get_mut(&whose) {
            *count += 1;
        } else if refusals.len() < MOST_REFUSALS {
            refusals.insert(whose, 1);
        }
    });
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// Sends what is new, if it is time for it.
pub(crate) async fn send(settings: &Settings) {
    let now_ms = local_ms();
    let Some(body) = COUNTS.with(|counts| counts.due(now_ms)) else {
        return;
    };
    match post(settings, &body).await {
        Ok(()) => drop(COUNTS.with(|counts| counts.pending.take())),
        Err(error) => worker::console_error!("report: {error}"),
    }
}

async fn post(settings: &Settings, body: &str) -> Result<(), CoreError> {
    let url = format!("{}/api/v1/edge/reports", settings.core_url);
    let question = Question {
        url: &url,
        authorization: Some(&settings.feed_authorization),
        body: Some(body),
        types: &["application/json"],
        longest: 4 * 1024,
        patience_ms: PATIENCE_MS,
    };
    core_api::ask(&question).await.map(|_| ())
}

impl Counts {
    /// The report to send at `now_ms`.
    fn due(&self, now_ms: u64) -> Option<String> {
        let since = now_ms.checked_sub(self.tried_ms.get());
        if since.is_some_and(|since| since < EVERY_MS) {
            return None;
        }
        let mut pending = self.pending.borrow_mut();
        // One that nobody takes is given up.
        pending.take_if(|(_, since)| now_ms.abs_diff(*since) >= TRIED_MS);
        if pending.is_none() {
            *pending = self.take().map(|body| (body, now_ms));
        }
        let body = pending.as_ref().map(|(body, _)| body.clone())?;
        self.tried_ms.set(now_ms);
        Some(body)
    }

    /// What was counted, which begins anew.
    fn take(&self) -> Option<String> {
        let some = |count: u64| (count > 0).then_some(count);
        let results = RESULTS.into_iter().zip(&self.results);
        let report = Report {
            report_id: glue::random_uuid(),
            results: results
                .filter_map(|(name, count)| Some((name.to_owned(), some(count.take())?)))
                .collect(),
            cache_hits: self.known.take(),
            cache_misses: self.unknown.take(),
            stale_admits: self.stale.take(),
            revocation_age_ms: some(self.oldest_ms.take()),
            refusals: self
                .refusals
                .take()
                .into_iter()
                .map(|((org_id, client_id, reason), count)| Refusal {
                    org_id,
                    client_id,
                    reason: RESULTS[reason].to_owned(),
                    count,
                })
                .collect(),
        };
        let counts = [report.cache_hits, report.cache_misses, report.stale_admits];
        let empty = report.results.is_empty() && report.refusals.is_empty() && counts == [0; 3];
        let body = serde_json::to_string(&report).ok()?;
        (!empty).then_some(body)
    }
}
