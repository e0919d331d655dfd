//! The isolate's own permits: a client that asks often is given several at a time
//! by its object, a lease, which saves most requests the way there. A lease grows
//! with the rate of use and shrinks as the minute empties; what is left of it ends
//! with the minute. What can be lost is an unspent permit, never a use too many.

use std::cell::RefCell;

use agentidp_verify::Rejected;
use agentidp_verify::limit::{Permits, Spent, Window, retry_after_s};
use quick_cache::unsync::Cache;
use worker::Env;

use crate::client_limit::lease;
use crate::clock::{core_ms, local_ms};

/// How many clients' permits are kept.
const MOST_KEPT: usize = 4_096;
/// The most permits that are asked for together.
const LARGEST_LEASE: u64 = 512;
/// A lease that was spent faster than this is followed by a larger one.
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

thread_local! {
    /// By client and limit: older tokens may carry another one.
    static POOLS: RefCell<Cache<String, Pool>> = RefCell::new(Cache::new(MOST_KEPT));
}

/// Makes one use of `client_id` against `limit`.
///
/// # Errors
/// The limit is spent, or the client's object cannot be reached.
pub(crate) async fn spend(
    env: &Env,
    client_id: &str,
    limit: u64,
    window_ms: u64,
) -> Result<Spent, Rejected> {
    let now_ms = core_ms();
    let window = Window::at(now_ms, window_ms);
    let pool = &format!("{client_id}:{limit}");
    if let Some(spent) = spend_own(pool, window, limit) {
        return Ok(spent);
    }
    let (wanted, first) = with_pool(pool, |pool| pool.begin(local_ms()));
    let leased = lease(env, client_id, window, limit, wanted).await;
    if first {
        with_pool(pool, |pool| pool.end(local_ms()));
    }
    let mut leased = leased.map_err(|error| {
        worker::console_error!("client limit: {error}");
        Rejected::Unavailable {
            reason: "The limits cannot be reached at the moment.",
        }
    })?;
    let spent = leased.spend();
    if spent.admitted() {
        with_pool(pool, |pool| pool.add(leased));
        return Ok(spent);
    }
    // Another request's lease may have come meanwhile.
    spend_own(pool, window, limit).ok_or_else(|| Rejected::RateLimited {
        spent,
        retry_after_s: retry_after_s(spent.ends_ms, now_ms),
    })
}

fn spend_own(key: &str, window: Window, limit: u64) -> Option<Spent> {
    POOLS.with_borrow_mut(|pools| {
        let mut pool = pools.get_mut(key)?;
        let permits = pool.permits.as_mut()?;
        permits.allow(window, limit).then(|| permits.spend())
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
        self.size = self.size.clamp(1, LARGEST_LEASE);
        (self.size, true)
    }

    fn end(&mut self, now_ms: u64) {
        self.asking_ms = None;
        self.leased_ms = now_ms;
    }

    fn add(&mut self, leased: Permits) {
        match &mut self.permits {
            Some(permits) => permits.add(leased),
            None => self.permits = Some(leased),
        }
    }
}
