//! The minute's limit of one client, counted exactly by the one Durable Object of
//! its name. The count is written down before it is answered with, so that a
//! restart of the object gives nobody a second quota.

use std::cell::RefCell;

use agentidp_verify::Rejected;
use agentidp_verify::limit::{Counter, Spent, Window};
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::clock::core_ms;

/// The binding's name.
const BINDING: &str = "CLIENT_LIMITS";
/// The key of the count in the object's storage.
const COUNTER: &str = "counter";

/// One client's counter.
#[durable_object]
pub struct ClientLimit {
    state: State,
    counter: RefCell<Option<Counter>>,
}

impl DurableObject for ClientLimit {
    fn new(state: State, _: Env) -> Self {
        Self {
            state,
            counter: RefCell::new(None),
        }
    }

    /// `/<now_ms>/<window_ms>/<limit>`, answered with a [`Spent`].
    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let numbers: Vec<u64> = request
            .path()
            .split('/')
            .filter_map(|part| part.parse().ok())
            .collect();
        let [now_ms, window_ms, limit] = numbers[..] else {
            return Response::error("not a count", 400);
        };
        let window = Window::at(now_ms, window_ms);
        if self.counter.borrow().is_none() {
            let kept = self.state.storage().get(COUNTER).await?;
            self.counter
                .borrow_mut()
                .get_or_insert(kept.unwrap_or(Counter::new(window)));
        }
        let mut counter = self.counter.borrow().unwrap_or(Counter::new(window));
        let spent = counter.take(window, limit);
        if spent.admitted() {
            // In memory first: whoever comes while this is written counts on.
            *self.counter.borrow_mut() = Some(counter);
            self.state.storage().put(COUNTER, counter).await?;
        }
        Response::from_json(&spent)
    }
}

/// Counts one request of `client_id` against `limit`.
///
/// # Errors
/// The limit is spent, or its object cannot be reached.
pub(crate) async fn spend(
    env: &Env,
    client_id: &str,
    limit: u64,
    window_ms: u64,
) -> Result<Spent, Rejected> {
    let now_ms = core_ms();
    let spent = ask(env, client_id, limit, window_ms, now_ms)
        .await
        .map_err(|error| {
            worker::console_error!("client limit: {error}");
            Rejected::Unavailable {
                reason: "The limits cannot be reached at the moment.",
            }
        })?;
    if spent.admitted() {
        return Ok(spent);
    }
    Err(Rejected::RateLimited {
        spent,
        retry_after_s: agentidp_verify::limit::retry_after_s(spent.ends_ms, now_ms),
    })
}

async fn ask(
    env: &Env,
    client_id: &str,
    limit: u64,
    window_ms: u64,
    now_ms: u64,
) -> worker::Result<Spent> {
    let stub = env.durable_object(BINDING)?.get_by_name(client_id)?;
    let url = format!("https://client-limit/{now_ms}/{window_ms}/{limit}");
    stub.fetch_with_str(&url).await?.json().await
}
