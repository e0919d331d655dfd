//! The contract's limits: the window of a client, the day of a tenant, the month
//! of a client, counted in the hot store under the contract's keys. A count is
//! made first and looked at after: nobody gets past a limit by asking at once.
//! What the ledger has on disk outlives the store.

mod lease;
pub(crate) mod ledger;
mod usage;

use agentidp_verify::Rejected;
use agentidp_verify::limit::{Spent, Window, retry_after_s};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

use crate::app::App;
use crate::audit::NotRecorded;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::Failure;
use crate::hot::{HotError, Tick};
use crate::ids::OrgId;
use crate::tenants::Tier;

pub(crate) use lease::{Ceiling, Debit, Debited, cap_after, credit, debit};
use ledger::Counter;
pub use ledger::{Ledger, Mark};
pub(crate) use usage::{Usage, used_by_client, used_by_tenant, used_with_another};

const DAY_MS: u64 = 86_400_000;
/// How far a mark of a day or a month runs ahead at most, in uses.
const LARGEST_BLOCK: u64 = 1_024;

/// A limit that is spent.
#[derive(Debug, Clone, Copy)]
pub enum Refused {
    /// The window's.
    Window {
        /// The count that was refused.
        spent: Spent,
        /// Whole seconds until the window ends.
        retry_after_s: u64,
    },
    /// The day's or the month's.
    Period {
        /// The count that was refused.
        spent: Spent,
        /// Whole seconds until the period ends.
        retry_after_s: u64,
    },
}

/// Why a use was not admitted.
#[derive(Debug)]
pub enum LimitError {
    /// A limit is spent.
    Refused(Refused),
    /// The counters cannot be reached, so nobody knows.
    Unknown(HotError),
    /// The counters are being lost at this moment.
    Unsettled,
    /// What the counters were allowed to come to cannot be read.
    Database(sqlx::Error),
    /// It cannot be written.
    NotRecorded,
}

impl From<HotError> for LimitError {
    fn from(error: HotError) -> Self {
        Self::Unknown(error)
    }
}

impl From<sqlx::Error> for LimitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<NotRecorded> for LimitError {
    fn from(_: NotRecorded) -> Self {
        Self::NotRecorded
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Window {
                spent,
                retry_after_s,
            } => Self::Rejected(Rejected::RateLimited {
                spent,
                retry_after_s,
            }),
            Refused::Period {
                spent,
                retry_after_s,
            } => Self::TierLimit {
                spent,
                retry_after_s,
            },
        }
    }
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Refused(refused) => refused.into(),
            LimitError::Unknown(error) => error.into(),
            LimitError::Database(error) => error.into(),
            LimitError::Unsettled => {
                tracing::error!("Redis client error the counters were lost again and again");
                Self::Unavailable("The counters are being restored at the moment.")
            }
            // The writer has logged why.
            LimitError::NotRecorded => {
                Self::Unavailable("The counters cannot be kept at the moment.")
            }
        }
    }
}

/// How far a counter has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Uses in this period.
    pub used: u64,
    /// None where there is no limit.
    pub limit: Option<u64>,
}

/// What was counted for one use.
#[derive(Debug)]
pub struct Charge {
    window: Option<Spent>,
    periods: Vec<String>,
    /// What each period has come to, and its limit.
    used: Vec<Used>,
    /// The beginning of the store that it was counted in.
    epoch: u64,
}

impl Charge {
    /// What the window's limit has left, where it has one.
    pub const fn spent(&self) -> Option<Spent> {
        self.window
    }

    /// What was used with this, in the day and in the month of a token.
    pub fn used(&self) -> (Used, Used) {
        let nth = |n: usize| self.used.get(n).copied().unwrap_or_default();
        (nth(0), nth(1))
    }

    /// Takes day and month back; the window stays counted. Where that fails, a
    /// use too many stays counted, never one too few.
    pub async fn take_back(self, app: &App, now: Now) {
        if let Err(error) = app.hot.take_back(&self.periods, 1, self.epoch, now).await {
            tracing::error!("Redis client error {error}");
        }
    }
}

/// One of the contract's counters.
struct Limit {
    counter: Counter,
    /// What the metrics call it.
    kind: &'static str,
}

impl Limit {
    /// The day or the month, which begins at `starts_ms` and ends at `ends_ms`.
    fn period(
        kind: &'static str,
        key: String,
        name: String,
        (starts_ms, ends_ms): (u64, u64),
        limit: Option<u64>,
    ) -> Self {
        let block = limit.map_or(LARGEST_BLOCK, |limit| (limit / 64).clamp(1, LARGEST_BLOCK));
        Self {
            counter: Counter {
                tick: Tick {
                    key,
                    starts_ms,
                    expires_ms: ends_ms,
                },
                name,
                limit,
                block: Some(block),
            },
            kind,
        }
    }

    fn calls_key(org_id: OrgId) -> String {
        format!("rate:tier:calls:{org_id}")
    }

    /// The tenant's calls of the day.
    fn calls(org_id: OrgId, tier: &Tier, now: Now) -> Self {
        let day = Self::calls_key(org_id);
        let limit = tier.calls_per_day;
        Self::period("calls_per_day", day.clone(), day, day_of(now), limit)
    }

    /// The tenant's tokens of the day.
    fn tokens(org_id: OrgId, tier: &Tier, now: Now) -> Self {
        let day = format!("rate:tier:tokens:{org_id}");
        let limit = tier.tokens_per_day;
        Self::period("tokens_per_day", day.clone(), day, day_of(now), limit)
    }

    /// The client's tokens of the month.
    fn month(client: &Client, now: Now) -> Self {
        let (month, span) = month_of(now);
        Self::period(
            "tokens_per_month",
            format!("monthly:{}:{month}", client.agent_id),
            format!("monthly:{}", client.agent_id),
            span,
            client.tier.tokens_per_month,
        )
    }

    fn window(client: &Client, window_ms: u64, now: Now) -> Self {
        let window = Window::at(now.ms(), window_ms);
        let limit = client.tier.requests_per_minute.map(u64::from);
        Self {
            counter: Counter {
                tick: Tick {
                    key: format!("rate:{}:{}", client.agent_id, window.index),
                    starts_ms: window.starts_ms(),
                    expires_ms: window.ends_ms(),
                },
                name: format!("rate:{}", client.agent_id),
                limit,
                block: limit.map(|limit| (limit / 8).max(1)),
            },
            kind: "requests_per_minute",
        }
    }
}

/// Counts an authenticated token request, and, where it is `to_issue` a token,
/// that token.
///
/// # Errors
/// A limit is spent, or nobody knows.
pub async fn charge_token(
    app: &App,
    client: &Client,
    to_issue: bool,
    now: Now,
) -> Result<Charge, LimitError> {
    let mut limits = vec![Limit::window(client, app.config.rate_limit_window_ms, now)];
    if to_issue {
        limits.push(Limit::tokens(client.org_id, &client.tier, now));
        limits.push(Limit::month(client, now));
    }
    charge(app, client, limits, now).await
}

/// Counts a call of the core's own API.
///
/// # Errors
/// A limit is spent, or nobody knows.
pub async fn charge_call(app: &App, client: &Client, now: Now) -> Result<Charge, LimitError> {
    let limits = vec![
        Limit::window(client, app.config.rate_limit_window_ms, now),
        Limit::calls(client.org_id, &client.tier, now),
    ];
    let charge = charge(app, client, limits, now).await?;
    let org_id = client.org_id.to_string();
    app.metrics
        .tenant_api_calls
        .count(&[&org_id, &client.tier.name]);
    Ok(charge)
}

/// Counts a use by each of `limits`, of which the first is the window.
async fn charge(
    app: &App,
    client: &Client,
    limits: Vec<Limit>,
    now: Now,
) -> Result<Charge, LimitError> {
    let (counters, kinds): (Vec<_>, Vec<_>) = limits
        .into_iter()
        .map(|limit| (limit.counter, limit.kind))
        .unzip();
    let counts = app.ledger.count(app, &counters, now).await?;
    let spent = |n: usize| {
        let (counter, used) = (counters.get(n)?, *counts.values.get(n)?);
        counter.limit.map(|limit| Spent {
            limit,
            used,
            ends_ms: counter.tick.expires_ms,
        })
    };
    let charge = Charge {
        window: spent(0),
        periods: counters
            .iter()
            .skip(1)
            .map(|counter| counter.tick.key.clone())
            .collect(),
        used: counters
            .iter()
            .zip(&counts.values)
            .skip(1)
            .map(|(counter, used)| Used {
                used: *used,
                limit: counter.limit,
            })
            .collect(),
        epoch: counts.epoch,
    };
    let over = (0..counters.len()).find_map(|n| {
        let spent = spent(n).filter(|spent| !spent.admitted())?;
        Some((n, spent))
    });
    let Some((n, spent)) = over else {
        app.ledger.settle(app, &counters, &counts, now).await?;
        return Ok(charge);
    };
    charge.take_back(app, now).await;
    let retry_after_s = retry_after_s(spent.ends_ms, now.ms());
    Err(LimitError::Refused(if n == 0 {
        let client_id = client.agent_id.to_string();
        app.metrics.rate_limit_hits.count(&[&client_id]);
        Refused::Window {
            spent,
            retry_after_s,
        }
    } else {
        let org_id = client.org_id.to_string();
        app.metrics
            .billing_limit_rejections
            .count(&[&org_id, kinds[n]]);
        Refused::Period {
            spent,
            retry_after_s,
        }
    }))
}

/// Puts `X-RateLimit-*` on an answer.
pub fn show(spent: Spent, headers: &mut HeaderMap) {
    for (name, value) in spent.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// When the day of the contract's counts began, Unix milliseconds.
pub(crate) const fn day_starts_ms(now: Now) -> u64 {
    day_of(now).0
}

/// The day's beginning and end in UTC.
const fn day_of(now: Now) -> (u64, u64) {
    let starts_ms = now.ms() / DAY_MS * DAY_MS;
    (starts_ms, starts_ms + DAY_MS)
}

/// `<year>:<month>`, the month without a leading zero, with its beginning and end
/// in UTC.
fn month_of(now: Now) -> (String, (u64, u64)) {
    let today = now.timestamp().date();
    let (year, month) = (today.year(), today.month());
    let next_year = if month == Month::December {
        year + 1
    } else {
        year
    };
    let first_ms = |year, month| {
        let first = Date::from_calendar_date(year, month, 1).unwrap_or(today);
        let begins = OffsetDateTime::new_utc(first, time::Time::MIDNIGHT).unix_timestamp();
        begins.unsigned_abs() * 1000
    };
    let span = (first_ms(year, month), first_ms(next_year, month.next()));
    (format!("{year}:{}", u8::from(month)), span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn at(moment: OffsetDateTime) -> Now {
        Now::from_ms(moment.unix_timestamp().unsigned_abs() * 1000)
    }

    #[test]
    fn a_month_has_no_leading_zero_and_ends_at_the_first_in_utc() {
        let (month, (starts, ends)) = month_of(at(datetime!(2026-03-31 23:59:59 UTC)));
        assert_eq!(month, "2026:3");
        assert_eq!(starts, at(datetime!(2026-03-01 0:00 UTC)).ms());
        assert_eq!(ends, at(datetime!(2026-04-01 0:00 UTC)).ms());
        let (month, (_, ends)) = month_of(at(datetime!(2026-12-01 0:00 UTC)));
        assert_eq!(month, "2026:12");
        assert_eq!(ends, at(datetime!(2027-01-01 0:00 UTC)).ms());
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(
            day_of(at(datetime!(2026-03-31 23:59:59 UTC))).1,
            at(datetime!(2026-04-01 0:00 UTC)).ms()
        );
        assert_eq!(
            day_of(at(datetime!(2026-03-31 0:00 UTC))).1,
            at(datetime!(2026-04-01 0:00 UTC)).ms()
        );
    }
}
