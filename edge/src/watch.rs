//! What goes on after it was admitted: a request to an origin, a long answer, a
//! stream of events, a WebSocket. Each is looked at a few times a second, in its own
//! request's context, and is cut once it would not be admitted any more: its token
//! was revoked or has expired, or nobody knows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use agentidp_gateway::Away;
use agentidp_verify::Rejected;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Context;

use crate::call::{Call, Needs};
use crate::clock::core_ms;
use crate::settings::Settings;
use crate::tokens::Kept;
use crate::{feed, keys};

/// How often it is looked at, in milliseconds.
pub(crate) const EVERY_MS: u32 = 200;

/// One of them. `glue.js` asks it; the reason for a cut is read here.
#[wasm_bindgen]
pub struct Watched {
    token: Rc<Kept>,
    settings: Rc<Settings>,
    context: Rc<Context>,
    away: Away,
    asking_for_keys: Rc<Cell<bool>>,
    cut: Rc<RefCell<Option<Rejected>>>,
}

impl Watched {
    pub(crate) fn new(call: &Call<'_>, needs: &Needs<'_>, token: &Rc<Kept>) -> Self {
        Self {
            token: Rc::clone(token),
            settings: Rc::clone(call.settings),
            context: Rc::clone(call.context),
            away: needs.away,
            asking_for_keys: Rc::default(),
            cut: Rc::default(),
        }
    }

    /// Where the reason for a cut will be.
    pub(crate) fn cut(&self) -> Rc<RefCell<Option<Rejected>>> {
        Rc::clone(&self.cut)
    }

    fn look(&self) -> Result<(), Rejected> {
        let token = self.token.verified();
        if let Some(keys) = keys::known() {
            token.still_signed_by(&keys)?;
        }
        token.still_holds(&self.settings.expected, core_ms() / 1000)?;
        feed::gate(token, &[])?;
        feed::still_fresh_for(u64::from(EVERY_MS), self.away)
    }

    /// Sees to it that there is something to look at next time. Nobody waits for it.
    fn renew(&self) {
        feed::renew_beside(&self.settings, &self.context);
        if keys::are_old() && !self.asking_for_keys.replace(true) {
            let (settings, asking) = (Rc::clone(&self.settings), Rc::clone(&self.asking_for_keys));
            self.context.wait_until(async move {
                // One that cannot be renewed stays in use.
                let _ = keys::get(&settings).await;
                asking.set(false);
            });
        }
    }
}

#[wasm_bindgen]
impl Watched {
    /// Whether it may go on until this is asked again.
    #[wasm_bindgen(js_name = mayGoOn)]
    pub fn may_go_on(&self) -> bool {
        match self.look() {
            Ok(()) => {
                self.renew();
                true
            }
            Err(rejected) => {
                self.cut.replace(Some(rejected));
                false
            }
        }
    }

    /// Why it was cut.
    pub fn reason(&self) -> String {
        self.cut
            .borrow()
            .as_ref()
            .map_or_else(|| "The edge failed.".to_owned(), Rejected::to_string)
    }
}
