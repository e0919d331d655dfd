//! The limit of token requests by address: the minute of one address, or of one /64
//! of IPv6, counted exactly by the one Durable Object of its name, wherever in a
//! place its requests come in. An isolate alone would count for itself, and there
//! are many. What is counted is written down first, so that an object that was idle
//! and begins anew gives nobody a second minute.

use std::cell::{Cell, RefCell};

use agentidp_verify::limit::{Spent, Window, retry_after_s};
use quick_cache::unsync::Cache;
use serde::{Deserialize, Serialize};
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::clock::core_ms;

/// The binding's name.
const BINDING: &str = "ADDRESS_LIMITS";
/// The key of the count in the object's storage.
const COUNT: &str = "count";
/// A window, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// How many addresses an isolate knows to be refused.
const MOST_KEPT: usize = 4_096;

thread_local! {
    /// Until when an address is refused: it costs its object nothing more.
    static REFUSED: RefCell<Cache<String, u64>> = RefCell::new(Cache::new(MOST_KEPT));
}

/// Requests of one window.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Count {
    window: u64,
    used: u64,
}

/// One address's counter.
#[durable_object]
pub struct AddressLimit {
    state: State,
    count: Cell<Option<Count>>,
}

impl DurableObject for AddressLimit {
    fn new(state: State, _: Env) -> Self {
        Self {
            state,
            count: Cell::new(None),
        }
    }

    /// `/<window>/<limit>`, answered with how many were asked for in it so far.
    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        // Not by `path()`: parsing URLs would be a third of the bundle.
        let url = request.inner().url();
        let mut numbers = url.split('/').filter_map(|part| part.parse::<u64>().ok());
        let (Some(window), Some(limit)) = (numbers.next(), numbers.next()) else {
            return Response::error("not a count", 400);
        };
        let kept = match self.count.get() {
            Some(count) => count,
            None => self.state.storage().get(COUNT).await?.unwrap_or_default(),
        };
        // Whoever came while it was read has counted on.
        let mut count = self.count.get().unwrap_or(kept);
        // A clock that steps back finds the count that it left.
        if window > count.window || count.window > window + 2 {
            count = Count { window, used: 0 };
        }
        count.used += 1;
        if count.used <= limit {
            self.count.set(Some(count));
            self.state.storage().put(COUNT, count).await?;
        }
        Response::from_json(&count.used)
    }
}

/// Counts a request of `address`. `Some` where it is one too many: whole seconds
/// until it is worth trying again.
///
/// # Errors
/// The object cannot be reached.
pub(crate) async fn count(env: &Env, address: &str, limit: u64) -> worker::Result<Option<u64>> {
    let now_ms = core_ms();
    let window = Window::at(now_ms, WINDOW_MS);
    let until = REFUSED.with_borrow(|refused| refused.get(address).copied());
    if let Some(until) = until.filter(|until| *until == window.ends_ms()) {
        return Ok(Some(retry_after_s(until, now_ms)));
    }
    let stub = env.durable_object(BINDING)?.get_by_name(address)?;
    let url = format!("https://address-limit/{}/{limit}", window.index);
    let used: u64 = stub.fetch_with_str(&url).await?.json().await?;
    let spent = Spent {
        limit,
        used,
        ends_ms: window.ends_ms(),
    };
    if spent.admitted() {
        return Ok(None);
    }
    REFUSED.with_borrow_mut(|refused| refused.insert(address.to_owned(), spent.ends_ms));
    Ok(Some(retry_after_s(spent.ends_ms, now_ms)))
}
