//! The one place that reads the time of day. Below the handlers the time is an
//! argument.

use time::OffsetDateTime;

/// A moment, as the handlers pass it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    ms: u64,
}

impl Now {
    /// The time of day.
    #[expect(clippy::disallowed_methods, reason = "this is core's clock")]
    pub fn read() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self::from_ms(since.map_or(0, |since| since.as_millis() as u64))
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

/// `seconds` after the epoch, for the database.
pub fn from_unix_s(seconds: u64) -> OffsetDateTime {
    Now::from_ms(seconds.saturating_mul(1000)).timestamp()
}
