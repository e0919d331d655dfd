//! This machine's clock. The core's, by which tokens are judged, is the feed's to
//! tell: see [`crate::feed::core_ms`].

use std::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    /// What the clock said when the turn began that is under way.
    static TURN_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// This machine's clock, Unix milliseconds. It stands still in a turn, as Cloudflare's
/// does: to ask for it is a call out of the WebAssembly.
pub(crate) fn local_ms() -> u64 {
    let turn_ms = TURN_MS.with(Cell::get);
    turn_ms.unwrap_or_else(|| js_sys::Date::now() as u64)
}

/// One turn, which waits for nobody and begins at `now_ms`.
pub(crate) fn turn<T>(now_ms: u64, act: impl FnOnce() -> T) -> T {
    TURN_MS.set(Some(now_ms));
    let done = act();
    end_turn();
    done
}

/// To be called where a turn was broken off: the clock would stand still.
#[wasm_bindgen(js_name = endTurn)]
pub fn end_turn() {
    TURN_MS.set(None);
}

pub(crate) use crate::feed::core_ms;
