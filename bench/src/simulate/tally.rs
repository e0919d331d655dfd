//! What the simulated day came to. Fractions come from weights: a simulated agent
//! stands for many.

/// Seconds of a window, times hours of a day.
const SECONDS: usize = 60;
pub(super) const HOURS: usize = 24;

#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) calls: f64,
    pub(super) admitted: f64,
    /// The limit is spent.
    pub(super) refused: f64,
    /// A message or a block was lost: 503.
    pub(super) unknown: f64,
    /// Calls beyond a limit, or debits: not weighted, and never any.
    pub(super) over: u64,
    /// Calls that were leased from the core.
    pub(super) debited: f64,
    /// Calls of them that came back into the day.
    pub(super) returned: f64,
    /// Calls of them that isolates were given and did not make.
    pub(super) lost: f64,
    /// Windows of a client with a call.
    pub(super) windows: f64,
    /// Windows of a client with a refusal.
    pub(super) spent_windows: f64,
    /// Calls that were refused in a window that had not admitted as many as it may.
    pub(super) refused_below: f64,
    pub(super) leases: f64,
    pub(super) settlements: f64,
    pub(super) alarms: f64,
    pub(super) object_requests: f64,
    pub(super) rows_written: f64,
    pub(super) rows_read: f64,
    questions: Load,
    settling: Load,
}

/// Requests to the core by the hour and the second of the minute.
#[derive(Debug, Clone)]
struct Load([[f64; SECONDS]; HOURS]);

impl Default for Load {
    fn default() -> Self {
        Self([[0.0; SECONDS]; HOURS])
    }
}

impl Load {
    fn add(&mut self, at_ms: u64, weight: f64) {
        let second = (at_ms / 1000) as usize;
        self.0[second / 3600 % HOURS][second % SECONDS] += weight;
    }

    /// Requests a second in each hour: the mean, and in its busiest second of the
    /// minute.
    fn by_hour(&self) -> [Rate; HOURS] {
        self.0.map(|seconds| {
            let mean = seconds.iter().sum::<f64>() / 3600.0;
            // The same second of sixty minutes.
            let busiest = seconds.iter().fold(0.0_f64, |most, one| most.max(*one)) / 60.0;
            // Sixty of them, so that chance alone makes one in a day.
            let peak = busiest + 4.0 * busiest.sqrt();
            Rate { mean, peak }
        })
    }
}

/// Requests a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    pub(super) mean: f64,
    pub(super) peak: f64,
}

/// The day's mean, and the largest of its peaks.
pub(super) fn of_the_day(hours: &[Rate; HOURS]) -> Rate {
    Rate {
        mean: hours.iter().map(|rate| rate.mean).sum::<f64>() / HOURS as f64,
        peak: hours.iter().fold(0.0, |most, rate| rate.peak.max(most)),
    }
}

impl Tally {
    /// The core is asked for a lease.
    pub(super) fn question(&mut self, at_ms: u64, weight: f64) {
        self.questions.add(at_ms, weight);
    }

    /// The core is told of settlements alone.
    pub(super) fn settling(&mut self, at_ms: u64, weight: f64) {
        self.settling.add(at_ms, weight);
    }

    pub(super) fn questions_by_hour(&self) -> [Rate; HOURS] {
        self.questions.by_hour()
    }

    pub(super) fn settling_by_hour(&self) -> [Rate; HOURS] {
        self.settling.by_hour()
    }
}
