//! The arithmetic of the contract's windows: which window a moment falls in,
//! what a count leaves of a limit, and when to come back.

use serde::{Deserialize, Serialize};

/// A window of the contract: `index = floor(unix_ms / length_ms)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    /// The window's number since the epoch.
    pub index: u64,
    /// Its length in milliseconds; `RATE_LIMIT_WINDOW_MS`.
    pub length_ms: u64,
}

impl Window {
    /// The window of length `length_ms` (at least 1) that `now_ms` falls in.
    pub const fn at(now_ms: u64, length_ms: u64) -> Self {
        let length_ms = if length_ms == 0 { 1 } else { length_ms };
        Self {
            index: now_ms / length_ms,
            length_ms,
        }
    }

    /// Its first millisecond.
    pub const fn starts_ms(self) -> u64 {
        self.index.saturating_mul(self.length_ms)
    }

    /// The first millisecond after it.
    pub const fn ends_ms(self) -> u64 {
        self.index.saturating_add(1).saturating_mul(self.length_ms)
    }
}

/// Whole seconds from `now_ms` until `ends_ms`, rounded up, at least one.
pub const fn retry_after_s(ends_ms: u64, now_ms: u64) -> u64 {
    let left = ends_ms.saturating_sub(now_ms).div_ceil(1000);
    if left == 0 { 1 } else { left }
}

/// A limit after one more use was counted against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// How many uses the window has.
    pub limit: u64,
    /// How many were asked for so far, this one included.
    pub used: u64,
    /// When the window ends, Unix milliseconds.
    pub ends_ms: u64,
}

impl Spent {
    /// Whether the use that was counted last is within the limit.
    pub const fn admitted(self) -> bool {
        self.used <= self.limit
    }

    /// How many uses are left.
    pub const fn remaining(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix seconds, rounded up).
    pub fn headers(self) -> [(&'static str, String); 3] {
        let [limit, remaining, reset] = self.figures().map(|figure| figure.to_string());
        [
            ("X-RateLimit-Limit", limit),
            ("X-RateLimit-Remaining", remaining),
            ("X-RateLimit-Reset", reset),
        ]
    }

    /// The values of [`Self::headers`], in their order.
    pub const fn figures(self) -> [u64; 3] {
        [self.limit, self.remaining(), self.ends_ms.div_ceil(1000)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn a_window_is_the_floor_of_the_time_by_its_length() {
        assert_eq!(Window::at(59_999, MINUTE).index, 0);
        assert_eq!(Window::at(60_000, MINUTE).index, 1);
        assert_eq!(Window::at(60_000, MINUTE).ends_ms(), 120_000);
        assert_eq!(
            retry_after_s(Window::at(119_999, MINUTE).ends_ms(), 119_999),
            1
        );
        assert_eq!(
            retry_after_s(Window::at(60_000, MINUTE).ends_ms(), 60_001),
            60
        );
        assert_eq!(Window::at(5, 0).length_ms, 1);
    }
}
