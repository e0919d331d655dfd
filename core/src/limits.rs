//! The contract's limits: the window of a client, the day of a tenant, the month
//! of a client, counted in the hot store under the contract's keys. A count is
//! made first and looked at after: nobody gets past a limit by asking at once.

use agentidp_verify::Rejected;
use agentidp_verify::limit::{Spent, Window, retry_after_s};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::{Date, Month, OffsetDateTime};

use crate::app::App;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::Failure;
use crate::hot::{HotError, Tick};

const DAY_MS: u64 = 86_400_000;

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
        }
    }
}

/// What was counted for one use.
#[derive(Debug)]
pub struct Charge {
    window: Option<Spent>,
    periods: Vec<String>,
}

impl Charge {
    /// What the window's limit has left, where it has one.
    pub const fn spent(&self) -> Option<Spent> {
        self.window
    }

    /// Takes day and month back; the window stays counted. Where that fails, a
    /// use too many stays counted, never one too few.
    pub async fn take_back(self, app: &App, now: Now) {
        if let Err(error) = app.hot.take_back(&self.periods, now).await {
            tracing::error!("Redis client error {error}");
        }
    }
}

/// One counter and its limit.
struct Counter {
    tick: Tick,
    limit: Option<u64>,
}

impl Counter {
    fn new(key: String, expires_ms: u64, limit: Option<u64>) -> Self {
        Self {
            tick: Tick { key, expires_ms },
            limit,
        }
    }

    fn spent(&self, used: u64) -> Option<Spent> {
        self.limit.map(|limit| Spent {
            limit,
            used,
            ends_ms: self.tick.expires_ms,
        })
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
    let mut periods = Vec::new();
    if to_issue {
        periods.push(Counter::new(
            format!("rate:tier:tokens:{}", client.org_id),
            day_ends_ms(now),
            client.tier.tokens_per_day,
        ));
        let (month, month_ends_ms) = month_of(now);
        periods.push(Counter::new(
            format!("monthly:{}:{month}", client.agent_id),
            month_ends_ms,
            client.tier.tokens_per_month,
        ));
    }
    charge(app, client, periods, now).await
}

/// Counts a call of the core's own API.
///
/// # Errors
/// A limit is spent, or nobody knows.
pub async fn charge_call(app: &App, client: &Client, now: Now) -> Result<Charge, LimitError> {
    let calls = Counter::new(
        format!("rate:tier:calls:{}", client.org_id),
        day_ends_ms(now),
        client.tier.calls_per_day,
    );
    charge(app, client, vec![calls], now).await
}

async fn charge(
    app: &App,
    client: &Client,
    periods: Vec<Counter>,
    now: Now,
) -> Result<Charge, LimitError> {
    let window = Window::at(now.ms(), app.config.rate_limit_window_ms);
    let window = Counter::new(
        format!("rate:{}:{}", client.agent_id, window.index),
        window.ends_ms(),
        client.tier.requests_per_minute.map(u64::from),
    );
    let ticks: Vec<Tick> = periods
        .iter()
        .chain([&window])
        .map(|counter| counter.tick.clone())
        .collect();
    let counts = app
        .hot
        .count(&ticks, now)
        .await
        .map_err(LimitError::Unknown)?;
    let (&in_window, in_periods) = counts.split_last().unwrap_or((&0, &[]));

    let window_spent = window.spent(in_window);
    let refused = match window_spent.filter(|spent| !spent.admitted()) {
        Some(spent) => Some(Refused::Window {
            spent,
            retry_after_s: retry_after_s(spent.ends_ms, now.ms()),
        }),
        None => periods
            .iter()
            .zip(in_periods)
            .filter_map(|(counter, used)| counter.spent(*used))
            .find(|spent| !spent.admitted())
            .map(|spent| Refused::Period {
                spent,
                retry_after_s: retry_after_s(spent.ends_ms, now.ms()),
            }),
    };
    let charge = Charge {
        window: window_spent,
        periods: periods
            .into_iter()
            .map(|counter| counter.tick.key)
            .collect(),
    };
    match refused {
        None => Ok(charge),
        Some(refused) => {
            charge.take_back(app, now).await;
            Err(LimitError::Refused(refused))
        }
    }
}

/// Puts `X-RateLimit-*` on an answer.
pub fn show(spent: Spent, headers: &mut HeaderMap) {
    for (name, value) in spent.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

const fn day_ends_ms(now: Now) -> u64 {
    (now.ms() / DAY_MS + 1) * DAY_MS
}

/// `<year>:<month>`, the month without a leading zero, and its end in UTC.
fn month_of(now: Now) -> (String, u64) {
    let today = now.timestamp().date();
    let (year, month) = (today.year(), today.month());
    let next_year = if month == Month::December {
        year + 1
    } else {
        year
    };
    let first = Date::from_calendar_date(next_year, month.next(), 1).unwrap_or(today);
    let ends = OffsetDateTime::new_utc(first, time::Time::MIDNIGHT).unix_timestamp();
    (
        format!("{year}:{}", u8::from(month)),
        ends.unsigned_abs() * 1000,
    )
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
        let (month, ends) = month_of(at(datetime!(2026-03-31 23:59:59 UTC)));
        assert_eq!(month, "2026:3");
        assert_eq!(ends, at(datetime!(2026-04-01 0:00 UTC)).ms());
        let (month, ends) = month_of(at(datetime!(2026-12-01 0:00 UTC)));
        assert_eq!(month, "2026:12");
        assert_eq!(ends, at(datetime!(2027-01-01 0:00 UTC)).ms());
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(
            day_ends_ms(at(datetime!(2026-03-31 23:59:59 UTC))),
            at(datetime!(2026-04-01 0:00 UTC)).ms()
        );
        assert_eq!(
            day_ends_ms(at(datetime!(2026-03-31 0:00 UTC))),
            at(datetime!(2026-04-01 0:00 UTC)).ms()
        );
    }
}
