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

/// How much of what is left one lease takes at most: one part of so many.
const SHARES: u64 = 8;

/// One client's count, as a Durable Object keeps it. It only ever moves to a
/// later window: a clock that steps back finds the count it left, not a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    window: Window,
    used: u64,
}

impl Counter {
    /// Nothing used yet in `window`.
    pub const fn new(window: Window) -> Self {
        Self { window, used: 0 }
    }

    /// Counts up to `wanted` uses before they are made: a share of what is left,
    /// which shrinks to one as that gets less, and to none where nothing is. A use
    /// beyond the limit is not counted: refusals cost nobody anything.
    pub fn lease(&mut self, now: Window, limit: u64, wanted: u64) -> Permits {
        let other_length = now.length_ms != self.window.length_ms;
        if other_length || now.index > self.window.index || self.is_far_ahead_of(now) {
            *self = Self::new(now);
        }
        let left = limit.saturating_sub(self.used);
        let share = (left / SHARES).max(1).min(left);
        let granted = wanted.min(share);
        self.used += granted;
        Permits {
            window: self.window,
            limit,
            counted: self.used,
            left: granted,
        }
    }

    /// A clock that was wrong by more than two windows has been put right: to
    /// hold on to that window would shut the client out until it comes.
    const fn is_far_ahead_of(&self, now: Window) -> bool {
        self.window.index > now.index.saturating_add(2)
    }
}

/// Uses that were counted before they are made. They end with their window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    window: Window,
    limit: u64,
    /// What the counter had come to with them.
    counted: u64,
    left: u64,
}

impl Permits {
    /// Whether there is one for a use in the window `now` under `limit`.
    pub const fn allow(&self, now: Window, limit: u64) -> bool {
        self.left > 0
            && self.limit == limit
            && self.window.index == now.index
            && self.window.length_ms == now.length_ms
    }

    /// Whether there is any at all.
    pub const fn any(&self) -> bool {
        self.left > 0
    }

    /// Makes one use; beyond the limit where none is left.
    pub const fn spend(&mut self) -> Spent {
        let used = if self.left > 0 {
            self.left -= 1;
            self.counted.saturating_sub(self.left)
        } else {
            self.limit.saturating_add(1)
        };
        Spent {
            limit: self.limit,
            used,
            ends_ms: self.window.ends_ms(),
        }
    }

    /// Adds later ones; what is of another window or limit is given up.
    pub fn add(&mut self, later: Self) {
        if self.allow(later.window, later.limit) {
            self.counted = self.counted.max(later.counted);
            self.left += later.left;
        } else if later.left > 0 {
            *self = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn minute(index: u64) -> Window {
        Window {
            index,
            length_ms: MINUTE,
        }
    }

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

    #[test]
    fn a_limit_of_three_admits_exactly_three_in_each_window() {
        let mut counter = Counter::new(minute(7));
        let admitted = |counter: &mut Counter, index| {
            (0..10)
                .filter(|_| counter.lease(minute(index), 3, 1).spend().admitted())
                .count()
        };
        assert_eq!(admitted(&mut counter, 7), 3);
        assert_eq!(admitted(&mut counter, 8), 3);
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_second_quota() {
        let mut counter = Counter::new(minute(7));
        assert!(counter.lease(minute(7), 1, 1).spend().admitted());
        assert!(!counter.lease(minute(6), 1, 1).spend().admitted());
        assert!(!counter.lease(minute(7), 1, 1).spend().admitted());
        assert!(counter.lease(minute(8), 1, 1).spend().admitted());
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_shut_a_client_out() {
        let mut counter = Counter::new(minute(1_000));
        assert!(counter.lease(minute(1_000), 1, 1).spend().admitted());
        assert!(counter.lease(minute(7), 1, 1).spend().admitted());
    }

    #[test]
    fn leases_shrink_to_one_and_all_of_them_together_are_the_limit() {
        let mut counter = Counter::new(minute(7));
        let mut sizes = Vec::new();
        loop {
            let mut permits = counter.lease(minute(7), 100, 64);
            let admitted = std::iter::from_fn(|| Some(permits.spend()))
                .take_while(|spent| spent.admitted())
                .count();
            if admitted == 0 {
                break;
            }
            sizes.push(admitted);
        }
        assert_eq!(sizes[0], 12);
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert!(sizes.ends_with(&[1; 8]), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 100);
    }

    #[test]
    fn permits_end_with_their_window_and_their_limit() {
        let mut counter = Counter::new(minute(7));
        let mut permits = counter.lease(minute(7), 100, 4);
        assert!(permits.allow(minute(7), 100));
        assert!(!permits.allow(minute(8), 100));
        assert!(!permits.allow(minute(6), 100));
        assert!(!permits.allow(minute(7), 99));
        permits.add(counter.lease(minute(7), 100, 4));
        let left: Vec<u64> = (0..8).map(|_| permits.spend().remaining()).collect();
        assert_eq!(left, [99, 98, 97, 96, 95, 94, 93, 92]);
        assert!(!permits.allow(minute(7), 100));
        assert!(!permits.spend().admitted());
        permits.add(counter.lease(minute(8), 100, 4));
        assert!(permits.allow(minute(8), 100));
    }

    #[test]
    fn a_raised_limit_counts_from_what_was_used() {
        let mut counter = Counter::new(minute(7));
        for _ in 0..5 {
            counter.lease(minute(7), 2, 1).spend();
        }
        let spent = counter.lease(minute(7), 4, 1).spend();
        assert!(spent.admitted());
        assert_eq!(spent.remaining(), 1);
        assert_eq!(counter.lease(minute(7), 0, 1).spend().remaining(), 0);
    }
}
