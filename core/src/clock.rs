//! The one place that reads the time of day. Below the handlers the time is an
//! argument. Here it never goes back: limits that were spent stay spent, and what
//! has expired stays expired, when somebody sets the machine's clock back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use time::OffsetDateTime;

/// How far the machine's clock may fall behind before it is believed after all: a
/// day, in milliseconds. Then the time before was the wrong one.
const MOST_BEHIND_MS: i64 = 86_400_000;

/// What the time of day is ahead of the time since the process began, in
/// milliseconds.
static AHEAD: AtomicI64 = AtomicI64::new(i64::MIN);

/// A moment, as the handlers pass it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    ms: u64,
}

impl Now {
    /// The time of day, or, where the machine's clock went back, what it would be
    /// had it gone on.
    #[expect(clippy::disallowed_methods, reason = "this is core's clock")]
    pub fn read() -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let says = since.map_or(0, |since| since.as_millis() as i64);
        let running = BEGAN.get_or_init(Instant::now).elapsed().as_millis() as i64;
        let said = says - running;
        let advanced = |was| Some(advance(was, said));
        let was = AHEAD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advanced);
        let ahead = was.map_or(said, |was| advance(was, said));
        Self::from_ms((running + ahead).unsigned_abs())
    }

    /// A moment in Unix milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Unix milliseconds.
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// Whole Unix seconds.
    pub const fn s(self) -> u64 {
        self.ms / 1000
    }

    /// For the database and for JSON, to the millisecond.
    pub fn timestamp(self) -> OffsetDateTime {
        let nanos = i128::from(self.ms) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// `ms` after the epoch, for the database.
pub fn from_ms(ms: u64) -> OffsetDateTime {
    Now::from_ms(ms).timestamp()
}

/// `seconds` after the epoch, for the database.
pub fn from_unix_s(seconds: u64) -> OffsetDateTime {
    Now::from_ms(seconds.saturating_mul(1000)).timestamp()
}

/// What the time is ahead by, after the machine's clock said `says`.
const fn advance(was: i64, says: i64) -> i64 {
    if says >= was || was.saturating_sub(says) > MOST_BEHIND_MS {
        says
    } else {
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_follows_a_clock_that_goes_forward_and_not_one_that_goes_back_an_hour() {
        const HOUR: i64 = 3_600_000;
        assert_eq!(advance(i64::MIN, 5), 5);
        assert_eq!(advance(100, 101), 101);
        assert_eq!(advance(100 + HOUR, 100), 100 + HOUR);
        assert_eq!(advance(100 + 25 * HOUR, 100), 100);
    }
}
