//! The time. An edge whose clock is wrong follows the core's, which the feed
//! tells, so that what has expired there has expired here.

use std::cell::Cell;

thread_local! {
    /// The core's clock less this machine's, in milliseconds.
    static AHEAD_MS: Cell<i64> = const { Cell::new(0) };
}

/// This machine's clock, Unix milliseconds: for ages alone.
pub(crate) fn local_ms() -> u64 {
    js_sys::Date::now() as u64
}

/// The core's clock, Unix milliseconds, as far as it is known here.
pub(crate) fn core_ms() -> u64 {
    local_ms().saturating_add_signed(AHEAD_MS.get())
}

/// The core's clock said `core_ms` just now.
pub(crate) fn heard(core_ms: u64) {
    AHEAD_MS.set(core_ms.cast_signed().wrapping_sub(local_ms().cast_signed()));
}
