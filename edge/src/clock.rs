//! This machine's clock. The core's, by which tokens are judged, is the feed's to
//! tell: see [`crate::feed::core_ms`].

/// This machine's clock, Unix milliseconds.
pub(crate) fn local_ms() -> u64 {
    js_sys::Date::now() as u64
}

pub(crate) use crate::feed::core_ms;
