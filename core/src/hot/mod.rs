//! The hot store: counters and marks that expire, under the contract's keys.
//! Production has two, Redis and this process's memory; one suite holds both to
//! the same behaviour. Every operation touches one key, so that a cluster works.

mod group;
mod memory;
mod redis;
#[cfg(test)]
mod suite;
mod timed;

use agentidp_verify::lease::share;
use async_trait::async_trait;

pub use memory::MemoryStore;
pub use redis::RedisStore;
pub use timed::Timed;

use crate::clock::Now;
use crate::config::HotUrl;

/// One use to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The counter.
    pub key: String,
    /// When its period began, Unix milliseconds.
    pub starts_ms: u64,
    /// When the counter is forgotten, Unix milliseconds.
    pub expires_ms: u64,
}

/// A key that is there until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The key.
    pub key: String,
    /// When it is forgotten, Unix milliseconds.
    pub expires_ms: u64,
}

/// What counters have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// One value for each counter.
    pub values: Vec<u64>,
    /// When the store began, Unix milliseconds; nothing in one that has lost
    /// everything since.
    pub epoch: Option<u64>,
}

/// Uses that were counted before they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// How many.
    pub granted: u64,
    /// What the counter has come to with them.
    pub value: u64,
    /// When the store began; see [`Counted::epoch`].
    pub epoch: Option<u64>,
}

/// The store cannot be reached; the cause is the store's own.
pub type HotError = ::redis::RedisError;

/// What the core asks of a store. Values of counters are plain integers.
#[async_trait]
pub trait HotStore: Send + Sync + std::fmt::Debug {
    /// Counts one use on each counter, in one round trip, and answers with what
    /// each has come to.
    async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError>;

    /// Counts a share of `wanted` uses on the counter ([`share`]), so that it never
    /// goes beyond `limit`: all of it in one step.
    async fn lease(
        &self,
        tick: &Tick,
        wanted: u64,
        limit: Option<u64>,
        now: Now,
    ) -> Result<Leased, HotError>;

    /// What counters have come to, in one round trip; 0 for one that is not there.
    async fn read(&self, keys: &[String], now: Now) -> Result<Counted, HotError>;

    /// Sets a counter that is below `least` to it.
    async fn raise(&self, tick: &Tick, least: u64, now: Now) -> Result<(), HotError>;

    /// Writes down that the store begins now, unless that is written; answers with
    /// what is written.
    async fn begin_epoch(&self, now: Now) -> Result<u64, HotError>;

    /// Takes `uses` back from each counter that is still there, in the store that
    /// began at `epoch`: in a later one they were not counted. Never makes a
    /// key, never goes below zero.
    async fn take_back(
        &self,
        keys: &[String],
        uses: u64,
        epoch: u64,
        now: Now,
    ) -> Result<(), HotError>;

    /// Sets marks, in one round trip.
    async fn mark(&self, marks: &[Mark], now: Now) -> Result<(), HotError>;

    /// Whether there is such a key.
    async fn exists(&self, key: &str, now: Now) -> Result<bool, HotError>;
}

/// Connects to the store that the settings name.
///
/// # Errors
/// Redis cannot be reached.
pub async fn connect(url: &HotUrl) -> Result<Box<dyn HotStore>, HotError> {
    Ok(match url {
        HotUrl::Redis(url) => Box::new(RedisStore::connect(url).await?),
        HotUrl::Memory => Box::new(MemoryStore::default()),
    })
}
