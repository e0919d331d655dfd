//! The hot store in Redis: one key for each command, so that a cluster works, and
//! one pipelined round trip for all who count at a time (see [`super::group`]).

use std::time::Duration;

use agentidp_verify::lease::{LARGEST, SHARES};
use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use super::group::Group;
use crate::clock::Now;
use crate::hot::{Counted, HotError, HotStore, Leased, Mark, Tick};

/// How long one command may take before the caller is told that it failed.
const PATIENCE: Duration = Duration::from_millis(800);

/// Takes `ARGV[1]` back without making a key (`DECRBY` alone would) and without
/// going below zero.
const TAKE_BACK: &str = "local n = tonumber(redis.call('GET', KEYS[1]) or '0') \
    if n > 0 then redis.call('DECRBY', KEYS[1], math.min(n, tonumber(ARGV[1]))) end";

/// Counts a share of `ARGV[1]`, of what `ARGV[2]` leaves (-1 is no limit), for
/// `ARGV[3]` milliseconds; answers with how many, and what that came to.
const LEASE: &str = "local used = tonumber(redis.call('GET', KEYS[1]) or '0') \
    local granted, limit = tonumber(ARGV[1]), tonumber(ARGV[2]) \
    if limit >= 0 then \
      local left = math.max(limit - used, 0) \
      granted = math.min(granted, math.max(math.floor(left / tonumber(ARGV[4])), 1), left) \
    end \
    if granted > 0 then \
      used = redis.call('INCRBY', KEYS[1], granted) \
      redis.call('PEXPIRE', KEYS[1], ARGV[3]) \
    end \
    return {granted, used}";

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
    lease: Script,
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
            lease: Script::new(LEASE),
            raise: Script::new(RAISE),
        })
    }

    async fn epoch(&self) -> Result<Option<u64>, HotError> {
        redis::cmd("GET")
            .arg(EPOCH)
            .query_async(&mut self.connection.clone())
            .await
    }
}

#[async_trait]
impl HotStore for RedisStore {
    async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError> {
        self.group.count(ticks, now).await
    }

    async fn lease(
        &self,
        tick: &Tick,
        wanted: u64,
        limit: Option<u64>,
        now: Now,
    ) -> Result<Leased, HotError> {
        let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let (granted, value): (u64, u64) = self
            .lease
            .key(&tick.key)
            .arg(wanted.min(LARGEST))
            .arg(limit)
            .arg(left_ms(tick.expires_ms, now))
            .arg(SHARES)
            .invoke_async(&mut self.connection.clone())
            .await?;
        // Asked after it was counted: a store that began in between is a later one,
        // and whoever goes by it counts anew.
        let epoch = self.epoch().await?;
        Ok(Leased {
            granted,
            value,
            epoch,
        })
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

    async fn take_back(
        &self,
        keys: &[String],
        uses: u64,
        epoch: u64,
        _: Now,
    ) -> Result<(), HotError> {
        if self.epoch().await? != Some(epoch) {
            return Ok(());
        }
        for key in keys {
            let mut connection = self.connection.clone();
            let _: () = self
                .take_back
                .key(key)
                .arg(uses)
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
