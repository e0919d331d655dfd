//! What Cloudflare would ask for it, by its public prices of the Workers Paid
//! plan. What is included each month is little beside it, and left out.

use super::assumptions::ROUND_TRIP_MS;
use super::tally::Tally;

/// Where the prices stand, and when they were read.
pub(super) const SOURCES: [&str; 2] = [
    "https://developers.cloudflare.com/durable-objects/platform/pricing/",
    "https://developers.cloudflare.com/workers/platform/pricing/",
];
pub(super) const READ_ON: &str = "2026-11-25";

/// Dollars for a million.
pub(super) const WORKER_REQUESTS: f64 = 0.30;
pub(super) const WORKER_CPU_MS: f64 = 0.02;
pub(super) const OBJECT_REQUESTS: f64 = 0.15;
pub(super) const OBJECT_GB_S: f64 = 12.50;
pub(super) const ROWS_WRITTEN: f64 = 1.00;
pub(super) const ROWS_READ: f64 = 0.001;

/// Memory that an object is billed for.
const GB: f64 = 0.128;
/// How long an object is busy with a request that it answers by itself, and CPU
/// that the Worker takes for a call: an assumption, and `bench/RESULTS.md`.
pub(super) const OBJECT_BUSY_S: f64 = 0.010;
pub(super) const CALL_CPU_MS: f64 = 0.1;

/// A line of the bill of the day.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) what: &'static str,
    pub(super) amount: f64,
    /// Dollars.
    pub(super) price: f64,
}

/// The bill of the day.
pub(super) fn bill(tally: &Tally) -> [Item; 6] {
    let item = |what, amount: f64, a_million: f64| Item {
        what,
        amount,
        price: amount / 1e6 * a_million,
    };
    // One that asks the core waits for it, and is billed meanwhile. An idle one is
    // not: it may hibernate.
    let busy_s = tally.object_requests * OBJECT_BUSY_S
        + (tally.leases + tally.alarms) * ROUND_TRIP_MS / 1000.0;
    [
        item("requests to the Worker", tally.calls, WORKER_REQUESTS),
        item(
            "the Worker's CPU, ms",
            tally.calls * CALL_CPU_MS,
            WORKER_CPU_MS,
        ),
        item(
            "requests to objects, alarms too",
            tally.object_requests,
            OBJECT_REQUESTS,
        ),
        item("the objects' duration, GB-s", busy_s * GB, OBJECT_GB_S),
        item("rows that objects write", tally.rows_written, ROWS_WRITTEN),
        item("rows that objects read", tally.rows_read, ROWS_READ),
    ]
}
