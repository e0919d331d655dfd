//! The isolate's own calls: a client that asks often is given several at a time by
//! its object, which saves most requests the way there. A block grows with the rate
//! of use and shrinks as the limits empty; what is left of it ends with the window.
//! What can be lost is an unspent call, never a call too many.

use std::cell::RefCell;

use agentidp_verify::lease::{Figure, Refusal};
use agentidp_verify::limit::{Window, retry_after_s};
use agentidp_verify::permits::{Block, Counted, Permits};
use agentidp_verify::place::Need;
use agentidp_verify::{Claims, Rejected};
use quick_cache::unsync::Cache;
use worker::Env;

use crate::client_limit;
use crate::clock::{core_ms, local_ms};

/// How many clients' calls are kept.
const MOST_KEPT: usize = 4_096;
/// The most calls that are asked for together.
const LARGEST_BLOCK: u64 = 512;
/// A block that was spent faster than this is followed by a larger one.
const SOON_MS: u64 = 250;
/// How long one question keeps others from asking for more than they need.
const ASKING_MS: u64 = 1_000;

#[derive(Clone, Copy, Default)]
struct Pool {
    permits: Option<Permits>,
    /// What the last question asked for, and when it was answered.
    size: u64,
    leased_ms: u64,
    /// When a question that is under way began.
    asking_ms: Option<u64>,
}

/// What a call is counted by.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Requests a minute; none where the token has no limit.
    pub(crate) minute: Option<u64>,
    /// See [`Need::dead_until`].
    pub(crate) dead_until: Option<u64>,
    /// The length of a window, milliseconds.
    pub(crate) window_ms: u64,
}

thread_local! {
    /// By client and limit: older tokens may carry another one.
    static POOLS: RefCell<Cache<String, Pool>> = RefCell::new(Cache::new(MOST_KEPT));
}

/// Makes one call of a token with these claims.
///
/// # Errors
/// A limit is spent, or nobody knows.
pub(crate) async fn spend(env: &Env, claims: &Claims, limit: Limit) -> Result<Counted, Rejected> {
    let window = Window::at(core_ms(), limit.window_ms);
    let pool = &match limit.minute {
        Some(minute) => format!("{}:{minute}", claims.client_id),
        None => claims.client_id.clone(),
    };
    if let Some(counted) = spend_own(pool, window, limit) {
        return Ok(counted);
    }
    let (wanted, first) = with_pool(pool, |pool| pool.begin(local_ms()));
    let need = Need {
        client_id: claims.client_id.clone(),
        org_id: claims.org_id.clone(),
        window,
        limit: limit.minute,
        dead_until: limit.dead_until,
        wanted,
    };
    let answered = client_limit::block(env, &need).await;
    if first {
        with_pool(pool, |pool| pool.end(local_ms()));
    }
    let block = answered.unwrap_or_else(|error| {
        worker::console_error!("client limit: {error}");
        Block::Unknown
    });
    if let Block::Permits(mut permits) = block
        && permits.allow(window, limit.minute, limit.dead_until)
        && let Some(counted) = permits.spend()
    {
        with_pool(pool, |pool| pool.add(permits, limit.dead_until));
        return Ok(counted);
    }
    // Another request's block may have come meanwhile.
    spend_own(pool, window, limit).ok_or_else(|| refused(block))
}

/// The reason for a refusal.
fn refused(block: Block) -> Rejected {
    let after = |figure: Figure| retry_after_s(figure.ends_ms, core_ms());
    match block {
        Block::Refused {
            refusal: Refusal::Minute,
            minute: Some(minute),
            ..
        } => Rejected::RateLimited {
            spent: minute.refused(),
            retry_after_s: after(minute),
        },
        Block::Refused {
            refusal: Refusal::Day,
            day: Some(day),
            ..
        } => Rejected::TierLimitExceeded {
            spent: day.refused(),
            retry_after_s: after(day),
        },
        Block::Refused {
            refusal: Refusal::OutOfService,
            ..
        } => Rejected::Revoked,
        Block::Refused { .. } | Block::Permits(_) | Block::Unknown => Rejected::Unavailable {
            reason: "The limits cannot be reached at the moment.",
        },
    }
}

fn spend_own(key: &str, window: Window, limit: Limit) -> Option<Counted> {
    POOLS.with_borrow_mut(|pools| {
        let mut pool = pools.get_mut(key)?;
        let permits = pool.permits.as_mut()?;
        if permits.allow(window, limit.minute, limit.dead_until) {
            permits.spend()
        } else {
            None
        }
    })
}

fn with_pool<T>(key: &str, act: impl FnOnce(&mut Pool) -> T) -> T {
    POOLS.with_borrow_mut(|pools| {
        if let Some(mut pool) = pools.get_mut(key) {
            return act(&mut pool);
        }
        let mut pool = Pool::default();
        let done = act(&mut pool);
        pools.insert(key.to_owned(), pool);
        done
    })
}

impl Pool {
    /// How many to ask for, and whether this is the one question that may ask for
    /// more than one.
    fn begin(&mut self, now_ms: u64) -> (u64, bool) {
        let asking = |began: u64| now_ms.checked_sub(began).is_some_and(|age| age < ASKING_MS);
        if self.asking_ms.is_some_and(asking) {
            return (1, false);
        }
        self.asking_ms = Some(now_ms);
        let soon = now_ms
            .checked_sub(self.leased_ms)
            .is_some_and(|age| age < SOON_MS);
        self.size = if soon { self.size * 2 } else { self.size / 2 };
        self.size = self.size.clamp(1, LARGEST_BLOCK);
        (self.size, true)
    }

    fn end(&mut self, now_ms: u64) {
        self.asking_ms = None;
        self.leased_ms = now_ms;
    }

    fn add(&mut self, leased: Permits, dead_until: Option<u64>) {
        match &mut self.permits {
            Some(permits) => permits.add(leased, dead_until),
            None => self.permits = Some(leased),
        }
    }
}
