//! One client at this place, in the one Durable Object of its name: it leases calls
//! from the core, hands them out to the isolates, and settles what was not used.
//! [`Place`] says what is to be done; here it is written down before it is done.

use std::cell::{Cell, RefCell};

use agentidp_verify::lease::{Lease, MOST_SETTLEMENTS, Request as LeaseRequest};
use agentidp_verify::limit::Window;
use agentidp_verify::permits::Block;
use agentidp_verify::place::{Need, Place};
use futures_util::lock::Mutex;
use wasm_bindgen::JsValue;
use worker::{DurableObject, Env, Method, Request, RequestInit, Response, State, durable_object};

use crate::clock::{core_ms, local_ms};
use crate::core_api::CoreError;
use crate::{glue, leasing, settings};

/// The binding's name.
const BINDING: &str = "CLIENT_LIMITS";
/// The key of what is kept in the object's storage.
const PLACE: &str = "place";
/// How long after a window what is left of its leases is settled at the earliest,
/// milliseconds; at the latest half a window later. Not all of them at once: windows
/// end for everybody at the same moment.
const SETTLE_AFTER_MS: u64 = 1_000;
/// How long a settlement that failed waits for the next attempt.
const SETTLE_AGAIN_MS: i64 = 15_000;
/// How long a limit that is spent is believed to be: others give calls back.
const REFUSED_MS: u64 = 1_000;

/// One client.
#[durable_object]
pub struct ClientLimit {
    state: State,
    env: Env,
    /// Read from the storage once. Whoever changes it holds it until that is
    /// written down and done: an object's requests may wait for each other.
    place: Mutex<Option<Place>>,
    refused: RefCell<Option<Refused>>,
    /// When the core last failed to answer.
    failed_ms: Cell<u64>,
    /// Until when an alarm is set.
    alarm_window: Cell<Option<Window>>,
}

/// The core's last refusal, good for a while.
struct Refused {
    window: Window,
    limit: Option<u64>,
    dead_until: Option<u64>,
    until_ms: u64,
    block: Block,
}

impl DurableObject for ClientLimit {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            place: Mutex::new(None),
            refused: RefCell::new(None),
            failed_ms: Cell::new(0),
            alarm_window: Cell::new(None),
        }
    }

    /// A [`Need`], answered with a [`Block`].
    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let need: Need = request.json().await?;
        Response::from_json(&self.block(&need).await?)
    }

    /// Settles what is left of windows that are over.
    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm_window.set(None);
        let mut kept = self.place.lock().await;
        let place = self.loaded(&mut kept).await?;
        place.close_ended(core_ms());
        self.write(place).await?;
        if !place.to_settle(1).is_empty() {
            if let Err(error) = self.settle(place).await {
                worker::console_error!("lease: {error}");
            }
            self.write(place).await?;
        }
        if !place.is_idle() {
            self.state.storage().set_alarm(SETTLE_AGAIN_MS).await?;
        }
        Response::empty()
    }
}

impl ClientLimit {
    async fn block(&self, need: &Need) -> worker::Result<Block> {
        let came_ms = local_ms();
        let mut kept = self.place.lock().await;
        if let Some(block) = self.refused_already(need) {
            return Ok(block);
        }
        let place = self.loaded(&mut kept).await?;
        if let Some(permits) = place.hand_out(need) {
            self.write(place).await?;
            return Ok(Block::Permits(permits));
        }
        // Who waited while the core did not answer waits no second time.
        if (came_ms..=local_ms()).contains(&self.failed_ms.get()) {
            return Ok(Block::Unknown);
        }
        let question = place.ask(need, glue::random_uuid());
        self.write(place).await?;
        self.set_alarm(need.window).await?;
        let settle = place.to_settle(MOST_SETTLEMENTS).to_vec();
        let request = LeaseRequest {
            question: Some(question),
            settle,
        };
        let lease = match self.ask(&request).await {
            Ok(Some(lease)) if place.take(lease.clone()) => lease,
            answered => {
                if let Err(error) = answered {
                    worker::console_error!("lease: {error}");
                }
                place.lose();
                self.failed_ms.set(local_ms());
                self.write(place).await?;
                return Ok(Block::Unknown);
            }
        };
        place.settled(&request.settle);
        let block = place.hand_out(need).map(Block::Permits);
        self.write(place).await?;
        Ok(block.unwrap_or_else(|| self.refuse(need, &lease)))
    }

    /// What to answer where a lease has nothing, and to remember of it.
    fn refuse(&self, need: &Need, lease: &Lease) -> Block {
        let Some(refusal) = lease.refused else {
            // It had calls, of another window or dead already.
            return Block::Unknown;
        };
        let block = Block::Refused {
            refusal,
            minute: lease.minute,
            day: lease.day,
        };
        self.refused.replace(Some(Refused {
            window: need.window,
            limit: need.limit,
            dead_until: need.dead_until,
            until_ms: local_ms() + REFUSED_MS,
            block,
        }));
        block
    }

    fn refused_already(&self, need: &Need) -> Option<Block> {
        let refused = self.refused.borrow();
        refused
            .as_ref()
            .filter(|refused| {
                refused.window == need.window
                    && refused.limit == need.limit
                    && refused.dead_until == need.dead_until
                    && local_ms() < refused.until_ms
            })
            .map(|refused| refused.block)
    }

    async fn ask(&self, request: &LeaseRequest) -> Result<Option<Lease>, CoreError> {
        let settings = settings::read(&self.env).map_err(CoreError::new)?;
        leasing::ask(&settings, request).await
    }

    async fn settle(&self, place: &mut Place) -> Result<(), CoreError> {
        let settle = place.to_settle(MOST_SETTLEMENTS).to_vec();
        let request = LeaseRequest {
            question: None,
            settle,
        };
        self.ask(&request).await?;
        place.settled(&request.settle);
        Ok(())
    }

    /// What was written down, where it is not in memory yet.
    async fn loaded<'a>(&self, kept: &'a mut Option<Place>) -> worker::Result<&'a mut Place> {
        if kept.is_none() {
            let written: Option<Place> = self.state.storage().get(PLACE).await?;
            *kept = Some(written.unwrap_or_default().resume());
        }
        Ok(kept.get_or_insert_default())
    }

    async fn write(&self, place: &Place) -> worker::Result<()> {
        self.state.storage().put(PLACE, place).await
    }

    async fn set_alarm(&self, window: Window) -> worker::Result<()> {
        if self.alarm_window.get() == Some(window) {
            return Ok(());
        }
        let later_ms = (js_sys::Math::random() * window.length_ms as f64 / 2.0) as u64;
        let left_ms = window.ends_ms().saturating_sub(core_ms()) + SETTLE_AFTER_MS + later_ms;
        let left_ms = i64::try_from(left_ms).unwrap_or(SETTLE_AGAIN_MS);
        self.state.storage().set_alarm(left_ms).await?;
        self.alarm_window.set(Some(window));
        Ok(())
    }
}

/// Asks the client's object for calls.
///
/// # Errors
/// The object cannot be reached.
pub(crate) async fn block(env: &Env, need: &Need) -> worker::Result<Block> {
    let stub = env.durable_object(BINDING)?.get_by_name(&need.client_id)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(JsValue::from_str(&serde_json::to_string(need)?)));
    let request = Request::new_with_init("https://client-limit/", &init)?;
    stub.fetch_with_request(request).await?.json().await
}
