//! The minute's limit of one client, counted exactly by the one Durable Object of
//! its name. What is counted is written down before it is answered with, so that a
//! restart of the object gives nobody a second quota.

use std::cell::RefCell;

use agentidp_verify::limit::{Counter, Permits, Window};
use worker::{DurableObject, Env, Request, Response, State, durable_object};

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

    /// `/<now_ms>/<window_ms>/<limit>/<wanted>`, answered with [`Permits`].
    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let numbers: Vec<u64> = request
            .path()
            .split('/')
            .filter_map(|part| part.parse().ok())
            .collect();
        let [now_ms, window_ms, limit, wanted] = numbers[..] else {
            return Response::error("not a lease", 400);
        };
        let window = Window::at(now_ms, window_ms);
        if self.counter.borrow().is_none() {
            let kept = self.state.storage().get(COUNTER).await?;
            self.counter
                .borrow_mut()
                .get_or_insert(kept.unwrap_or(Counter::new(window)));
        }
        let mut counter = self.counter.borrow().unwrap_or(Counter::new(window));
        let permits = counter.lease(window, limit, wanted);
        if permits.any() {
            // In memory first: whoever comes while this is written counts on.
            *self.counter.borrow_mut() = Some(counter);
            self.state.storage().put(COUNTER, counter).await?;
        }
        Response::from_json(&permits)
    }
}

/// Asks the client's object for up to `wanted` permits.
///
/// # Errors
/// The object cannot be reached.
pub(crate) async fn lease(
    env: &Env,
    client_id: &str,
    window: Window,
    limit: u64,
    wanted: u64,
) -> worker::Result<Permits> {
    let stub = env.durable_object(BINDING)?.get_by_name(client_id)?;
    let (now_ms, window_ms) = (window.starts_ms(), window.length_ms);
    let url = format!("https://client-limit/{now_ms}/{window_ms}/{limit}/{wanted}");
    stub.fetch_with_str(&url).await?.json().await
}
