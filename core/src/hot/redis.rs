//! The hot store in Redis: one key for each command, so that a cluster works, and
//! one pipelined round trip for all who count at a time (see [`super::group`]).

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use super::group::Group;
use crate::clock::Now;
use crate::hot::{Counted, HotError, HotStore, Mark, Tick};

/// How long one command may take before the caller is told that it failed.
const PATIENCE: Duration = Duration::from_millis(800);

/// Takes one back without making a key (`DECR` alone would) and without going
/// below zero.
const TAKE_BACK: &str = "local n = redis.call('GET', KEYS[1]) \
    if n and tonumber(n) > 0 then redis.call('DECR', KEYS[1]) end";

/// Sets a counter that is below `ARGV[1]` to it, for `ARGV[2]` milliseconds.
const RAISE: &str = "if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then \
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end";

/// Says when this store began, and by its absence that everything was lost.
pub(super) const EPOCH: &str = "agentidp:epoch";

/// A connection that reconnects by itself.
pub struct RedisStore {
    connection: ConnectionManager,
    group: Group,
    take_back: Script,
    raise: Script,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisStore")
    }
}

impl RedisStore {
    /// Connects to `url`.
    ///
    /// # Errors
    /// The URL is not Redis's, or nobody answers there.
    pub async fn connect(url: &str) -> Result<Self, HotError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(200));
        let connection = ConnectionManager::new_with_config(Client::open(url)?, config).await?;
        Ok(Self {
            group: Group::start(connection.clone()),
            connection,
            take_back: Script::new(TAKE_BACK),
            raise: Script::new(RAISE),
        })
    }
}

#[async_trait]
impl HotStore for RedisStore {
    async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError> {
        self.group.count(ticks, now).await
    }

    async fn read(&self, keys: &[String], _: Now) -> Result<Counted, HotError> {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.get(key);
        }
        pipe.get(EPOCH);
        let mut values: Vec<Option<u64>> = pipe.query_async(&mut self.connection.clone()).await?;
        let epoch = values.pop().flatten();
        let values = values.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Counted { values, epoch })
    }

    async fn raise(&self, tick: &Tick, least: u64, now: Now) -> Result<(), HotError> {
        self.raise
            .key(&tick.key)
            .arg(least)
            .arg(left_ms(tick.expires_ms, now))
            .invoke_async(&mut self.connection.clone())
            .await
    }

    async fn begin_epoch(&self, now: Now) -> Result<u64, HotError> {
        let mut pipe = redis::pipe();
        pipe.set_nx(EPOCH, now.ms()).ignore().get(EPOCH);
        let (epoch,) = pipe.query_async(&mut self.connection.clone()).await?;
        Ok(epoch)
    }

    async fn take_back(&self, keys: &[String], epoch: u64, _: Now) -> Result<(), HotError> {
        let began: Option<u64> = redis::cmd("GET")
            .arg(EPOCH)
            .query_async(&mut self.connection.clone())
            .await?;
        if began != Some(epoch) {
            return Ok(());
        }
        for key in keys {
            let mut connection = self.connection.clone();
            let _: () = self
                .take_back
                .key(key)
                .invoke_async(&mut connection)
                .await?;
        }
        Ok(())
    }

    async fn mark(&self, marks: &[Mark], now: Now) -> Result<(), HotError> {
        if marks.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for mark in marks {
            let left = left_ms(mark.expires_ms, now);
            pipe.cmd("SET")
                .arg(&mark.key)
                .arg(1)
                .arg("PX")
                .arg(left)
                .ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await
    }

    async fn exists(&self, key: &str, _: Now) -> Result<bool, HotError> {
        redis::cmd("EXISTS")
            .arg(key)
            .query_async(&mut self.connection.clone())
            .await
    }
}

/// What is left until `expires_ms`, at least a millisecond. Redis is told no time
/// of day: by its own clock ours may have passed.
pub(super) fn left_ms(expires_ms: u64, now: Now) -> i64 {
    let left = expires_ms.saturating_sub(now.ms()).max(1);
    i64::try_from(left).unwrap_or(i64::MAX)
}
