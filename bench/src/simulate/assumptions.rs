//! What the simulation takes for granted. `bench/SIMULATION.md` shows all of it.

/// What makes one run like another.
pub(super) const SEED: u64 = 5;

/// Places of the edge.
pub(super) const PLACES: usize = 300;
/// Isolates of one place that serve at a time.
pub(super) const ISOLATES: usize = 8;
/// Agents that call on this day.
pub(super) const AGENTS: u64 = 10_000_000;
/// Calls that they want to make, all together.
pub(super) const CALLS: f64 = 2e9;
/// An agent's calls go by its rank: `1 / (rank + OFFSET) ^ EXPONENT`.
pub(super) const OFFSET: f64 = 500.0;
pub(super) const EXPONENT: f64 = 1.0;
/// The calls of places go by their rank, the same way.
pub(super) const PLACES_EXPONENT: f64 = 0.8;

pub(super) const DAY_MS: u64 = 86_400_000;
pub(super) const WINDOW_MS: u64 = 60_000;
/// By local time a place's calls are this much more at 15:00, and less at 03:00.
pub(super) const SWING: f64 = 0.6;
/// Where calls come from: the share, and the hours that local time is ahead of UTC.
pub(super) const REGIONS: [(f64, f64); 3] = [(0.4, -6.0), (0.35, 1.0), (0.25, 8.0)];
/// How many of an agent's calls are made at the place where it makes most, at a
/// second and at a third.
pub(super) const AT_PLACES: [f64; 3] = [0.9, 0.07, 0.03];

/// Tiers by rank, and their requests a minute.
pub(super) const TIERS: [(u64, u64); 3] = [(20_000, 10_000), (220_000, 1_000), (AGENTS, 100)];

/// Work comes in bursts, on one connection, so in one isolate: (share of bursts,
/// mean calls of one, mean milliseconds between two calls).
pub(super) const BURSTS: [(f64, f64, f64); 2] = [(0.98, 6.0, 1_500.0), (0.02, 150.0, 100.0)];

/// How many questions' answers are lost; half of them after the core has debited.
pub(super) const LOST: f64 = 1e-3;
/// How many questions find that the object begins anew in the middle; half before
/// the answer has come, half before its calls have reached the isolate.
pub(super) const OBJECT_RESTARTS: f64 = 1e-4;
/// How many blocks are lost because their isolate ends.
pub(super) const ISOLATE_RESTARTS: f64 = 1e-4;
/// From the end of a window to the object's alarm at the earliest, half a window
/// later at the latest, `edge/src/client_limit.rs`.
pub(super) const SETTLE_AFTER_MS: u64 = 1_000;
/// How long an object believes a refusal, `edge/src/client_limit.rs`.
pub(super) const REFUSED_MS: u64 = 1_000;
/// How long an idle object is in memory.
pub(super) const HIBERNATES_MS: u64 = 10_000;

/// From a place to the core and back: the median in milliseconds, and how wide the
/// logarithm spreads over places.
pub(super) const ROUND_TRIP_MS: f64 = 80.0;
pub(super) const ROUND_TRIP_SPREAD: f64 = 0.7;
/// How much one round trip differs from its place's, the same way.
pub(super) const JITTER: f64 = 0.2;
/// How long the core may take for a page of the feed.
pub(super) const PATIENCE_MS: f64 = 500.0;
/// Revocations whose way is followed.
pub(super) const REVOCATIONS: usize = 2_000;

/// How many calls of each class of agents are simulated, about.
pub(super) const CALLS_A_CLASS: f64 = 1_500_000.0;
