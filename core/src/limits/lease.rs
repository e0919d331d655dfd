//! Calls that the edge will admit, counted beforehand: by the client's minute at
//! the edge and by its tenant's day.

use agentidp_verify::lease::Figure;
use agentidp_verify::limit::Window;

use super::ledger::Counter;
use super::{Limit, LimitError, day_of};
use crate::app::App;
use crate::clock::Now;
use crate::hot::{Leased, Tick};
use crate::ids::{AgentId, OrgId};
use crate::tenants::Tier;

/// How close to a day's end nothing is put back any more, milliseconds: the store
/// might take it for the next day's.
const DAYS_END_MS: u64 = 2_000;

/// Calls that were counted.
#[derive(Debug)]
pub(crate) struct Debit {
    pub(crate) granted: u64,
    /// The client's minute; none where it has no limit.
    pub(crate) minute: Option<Figure>,
    /// The tenant's day; none where it has no limit.
    pub(crate) day: Option<Figure>,
    pub(crate) from: Debited,
}

/// What calls were counted in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Debited {
    /// The window of the client's minute, where that has a limit.
    pub(crate) window: Option<Window>,
    /// When the day began, Unix milliseconds.
    pub(crate) day_starts_ms: u64,
    /// When the store began.
    pub(crate) epoch: u64,
}

/// Counts a share of `wanted` calls of a client against `limit` requests in
/// `window` and its tenant's day: as many as both have left, or none.
///
/// # Errors
/// Nobody knows.
pub(crate) async fn debit(
    app: &App,
    (org_id, client_id): (OrgId, AgentId),
    tier: &Tier,
    (window, limit): (Window, Option<u64>),
    wanted: u64,
    now: Now,
) -> Result<Debit, LimitError> {
    let limit = limit
        .into_iter()
        .chain(tier.requests_per_minute.map(u64::from))
        .min();
    let minute = limit.map(|limit| minute_of(client_id, window, limit));
    let of_minute = match &minute {
        None => None,
        Some(minute) => Some(app.ledger.lease(app, minute, wanted, now).await?),
    };
    let wanted = of_minute.as_ref().map_or(wanted, |leased| leased.granted);
    let day = Limit::calls(org_id, tier, now).counter;
    let of_day = if wanted == 0 {
        // Refused already: what the day has come to is not what matters.
        None
    } else {
        Some(app.ledger.lease(app, &day, wanted, now).await?)
    };
    let granted = of_day.as_ref().map_or(0, |leased| leased.granted);
    if let (Some(minute), Some(leased)) = (&minute, &of_minute)
        && leased.granted > granted
    {
        let keys = std::slice::from_ref(&minute.tick.key);
        let (rest, epoch) = (leased.granted - granted, leased.epoch.unwrap_or_default());
        if let Err(error) = app.hot.take_back(keys, rest, epoch, now).await {
            // Counted and not used, until the window ends.
            tracing::error!("Redis client error {error}");
        }
    }
    let figure = |counter: &Counter, leased: Option<&Leased>, back: u64| {
        Some(Figure {
            limit: counter.limit?,
            debited: leased?.value.saturating_sub(back),
            ends_ms: counter.tick.expires_ms,
        })
    };
    let back = of_minute
        .as_ref()
        .map_or(0, |leased| leased.granted - granted);
    Ok(Debit {
        granted,
        minute: minute.and_then(|minute| figure(&minute, of_minute.as_ref(), back)),
        day: figure(&day, of_day.as_ref(), 0),
        from: Debited {
            window: limit.map(|_| window),
            day_starts_ms: day.tick.starts_ms,
            epoch: of_day.and_then(|leased| leased.epoch).unwrap_or_default(),
        },
    })
}

/// Puts `uses` back into the minute and the day that they were counted in, while
/// those last.
pub(crate) async fn credit(
    app: &App,
    (org_id, client_id): (OrgId, AgentId),
    from: Debited,
    uses: u64,
    now: Now,
) {
    if uses == 0 {
        return;
    }
    let (day_starts_ms, day_ends_ms) = day_of(now);
    let mut keys = Vec::new();
    if let Some(window) = from.window.filter(|window| window.ends_ms() > now.ms()) {
        keys.push(minute_key(client_id, window));
    }
    if day_starts_ms == from.day_starts_ms && now.ms() + DAYS_END_MS < day_ends_ms {
        keys.push(Limit::calls_key(org_id));
    }
    if let Err(error) = app.hot.take_back(&keys, uses, from.epoch, now).await {
        // They stay counted, and unused.
        tracing::error!("Redis client error {error}");
    }
}

/// A tier's calls of a day and requests of a minute; none is no limit.
pub(crate) type Ceiling = (Option<u64>, Option<u32>);

/// The requests a minute that older tokens have to be held to where a tier gives less
/// than before. The entry that says so ends older leases too, so a day that is
/// shorter has one as well; without a limit of the minute leases end with their
/// window.
pub(crate) fn cap_after(before: Ceiling, after: Ceiling) -> Option<u32> {
    fn fell<T: PartialOrd>(before: Option<T>, after: Option<T>) -> bool {
        after.is_some_and(|after| before.is_none_or(|before| before > after))
    }
    after
        .1
        .filter(|_| fell(before.0, after.0) || fell(before.1, after.1))
}

/// The edge's count of a client's minute: one of its own, beside the core's.
fn minute_of(client_id: AgentId, window: Window, limit: u64) -> Counter {
    Counter {
        tick: Tick {
            key: minute_key(client_id, window),
            starts_ms: window.starts_ms(),
            expires_ms: window.ends_ms(),
        },
        name: format!("edge:{client_id}"),
        limit: Some(limit),
        block: Some((limit / 8).max(1)),
    }
}

fn minute_key(client_id: AgentId, window: Window) -> String {
    format!("agentidp:edge:{client_id}:{}", window.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_needed_where_a_number_has_fallen() {
        for (before, after, cap) in [
            ((None, Some(100)), (None, Some(99)), Some(99)),
            ((None, None), (None, Some(5)), Some(5)),
            ((None, Some(1)), (None, Some(0)), Some(0)),
            ((None, Some(100)), (None, Some(100)), None),
            ((None, Some(100)), (None, Some(101)), None),
            ((None, Some(100)), (None, None), None),
            ((None, None), (None, None), None),
            ((Some(9), Some(100)), (Some(8), Some(100)), Some(100)),
            ((None, Some(100)), (Some(8), Some(200)), Some(200)),
            ((Some(8), Some(100)), (None, Some(100)), None),
            ((Some(9), None), (Some(8), None), None),
        ] {
            assert_eq!(cap_after(before, after), cap, "{before:?} {after:?}");
        }
    }
}
