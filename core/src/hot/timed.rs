//! Tells the metrics how long the store took, and waits for no call without end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Counted, HotError, HotStore, Leased, Mark, Tick};
use crate::clock::Now;
use crate::metrics::Metrics;

/// How long a call may take. Connecting anew is part of it, and is tried more than
/// once; what stops somebody goes on without the counters, and needs time too.
const PATIENCE: Duration = Duration::from_millis(800);

/// A store whose round trips are timed.
#[derive(Debug)]
pub struct Timed {
    store: Box<dyn HotStore>,
    metrics: Arc<Metrics>,
}

impl Timed {
    /// Times `store`.
    pub fn new(store: Box<dyn HotStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    async fn time<T>(
        &self,
        command: &str,
        round_trip: impl Future<Output = Result<T, HotError>>,
    ) -> Result<T, HotError> {
        let begun = Instant::now();
        let outcome = tokio::time::timeout(PATIENCE, round_trip).await;
        self.metrics.commanded(command, begun.elapsed());
        outcome.unwrap_or_else(|_| {
            let late = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
            Err(late.into())
        })
    }
}

#[async_trait]
impl HotStore for Timed {
    async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError> {
        self.time("incr", self.store.count(ticks, now)).await
    }

    async fn read(&self, keys: &[String], now: Now) -> Result<Counted, HotError> {
        self.time("get", self.store.read(keys, now)).await
    }

    async fn lease(
        &self,
        tick: &Tick,
        wanted: u64,
        limit: Option<u64>,
        now: Now,
    ) -> Result<Leased, HotError> {
        self.time("incrby", self.store.lease(tick, wanted, limit, now))
            .await
    }

    async fn take_back(
        &self,
        keys: &[String],
        uses: u64,
        epoch: u64,
        now: Now,
    ) -> Result<(), HotError> {
        self.time("decr", self.store.take_back(keys, uses, epoch, now))
            .await
    }

    async fn raise(&self, tick: &Tick, least: u64, now: Now) -> Result<(), HotError> {
        self.time("set", self.store.raise(tick, least, now)).await
    }

    async fn begin_epoch(&self, now: Now) -> Result<u64, HotError> {
        self.time("setnx", self.store.begin_epoch(now)).await
    }

    async fn mark(&self, marks: &[Mark], now: Now) -> Result<(), HotError> {
        self.time("set", self.store.mark(marks, now)).await
    }

    async fn exists(&self, key: &str, now: Now) -> Result<bool, HotError> {
        self.time("exists", self.store.exists(key, now)).await
    }
}
