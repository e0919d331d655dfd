//! The hot store in this process: for `agentidp dev` and for one replica. It
//! begins empty with each start, as a Redis that lost everything does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::clock::Now;
use crate::hot::{Counted, HotError, HotStore, Leased, Mark, Tick, share};

/// How many operations pass between two sweeps of what has expired.
const SWEEP_EVERY: u32 = 4_096;

/// Keys in a map, forgotten when they expire.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    since_sweep: u32,
    epoch: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    value: u64,
    expires_ms: u64,
}

impl MemoryStore {
    /// The map, without what has expired among `keys`' neighbours now and then.
    fn lock(&self, now: Now) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.since_sweep += 1;
        if inner.since_sweep >= SWEEP_EVERY {
            inner.since_sweep = 0;
            inner.entries.retain(|_, entry| entry.expires_ms > now.ms());
        }
        inner
    }
}

impl Inner {
    /// What the counter comes to with `uses` more.
    fn add(&mut self, tick: &Tick, uses: u64, now: Now) -> u64 {
        if let Some(entry) = self.live(&tick.key, now) {
            entry.value += uses;
            entry.expires_ms = tick.expires_ms;
            return entry.value;
        }
        let entry = Entry {
            value: uses,
            expires_ms: tick.expires_ms,
        };
        self.entries.insert(tick.key.clone(), entry);
        uses
    }

    fn live(&mut self, key: &str, now: Now) -> Option<&mut Entry> {
        self.entries
            .get_mut(key)
            .filter(|entry| entry.expires_ms > now.ms())
    }
}

#[async_trait]
impl HotStore for MemoryStore {
    async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError> {
        let mut inner = self.lock(now);
        let values = ticks.iter().map(|tick| inner.add(tick, 1, now));
        let values = values.collect();
        Ok(Counted {
            values,
            epoch: inner.epoch,
        })
    }

    async fn lease(
        &self,
        tick: &Tick,
        wanted: u64,
        limit: Option<u64>,
        now: Now,
    ) -> Result<Leased, HotError> {
        let mut inner = self.lock(now);
        let used = inner.live(&tick.key, now).map_or(0, |entry| entry.value);
        let granted = share(limit.map(|limit| limit.saturating_sub(used)), wanted);
        let value = if granted > 0 {
            inner.add(tick, granted, now)
        } else {
            used
        };
        Ok(Leased {
            granted,
            value,
            epoch: inner.epoch,
        })
    }

    async fn read(&self, keys: &[String], now: Now) -> Result<Counted, HotError> {
        let mut inner = self.lock(now);
        let values = keys
            .iter()
            .map(|key| inner.live(key, now).map_or(0, |entry| entry.value))
            .collect();
        Ok(Counted {
            values,
            epoch: inner.epoch,
        })
    }

    async fn raise(&self, tick: &Tick, least: u64, now: Now) -> Result<(), HotError> {
        let mut inner = self.lock(now);
        match inner.live(&tick.key, now) {
            Some(entry) if entry.value >= least => {}
            Some(entry) => entry.value = least,
            None => {
                let entry = Entry {
                    value: least,
                    expires_ms: tick.expires_ms,
                };
                inner.entries.insert(tick.key.clone(), entry);
            }
        }
        Ok(())
    }

    async fn begin_epoch(&self, now: Now) -> Result<u64, HotError> {
        Ok(*self.lock(now).epoch.get_or_insert(now.ms()))
    }

    async fn take_back(
        &self,
        keys: &[String],
        uses: u64,
        epoch: u64,
        now: Now,
    ) -> Result<(), HotError> {
        let mut inner = self.lock(now);
        if inner.epoch != Some(epoch) {
            return Ok(());
        }
        for key in keys {
            if let Some(entry) = inner.live(key, now) {
                entry.value = entry.value.saturating_sub(uses);
            }
        }
        Ok(())
    }

    async fn mark(&self, marks: &[Mark], now: Now) -> Result<(), HotError> {
        let entries = marks.iter().map(|mark| {
            let entry = Entry {
                value: 1,
                expires_ms: mark.expires_ms,
            };
            (mark.key.clone(), entry)
        });
        self.lock(now).entries.extend(entries);
        Ok(())
    }

    async fn exists(&self, key: &str, now: Now) -> Result<bool, HotError> {
        Ok(self.lock(now).live(key, now).is_some())
    }
}
