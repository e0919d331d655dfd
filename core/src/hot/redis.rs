//! The hot store in Redis: one pipelined round trip for each call, one key for
//! each command.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use crate::clock::Now;
use crate::hot::{HotError, HotStore, Tick};

/// How long one command may take before the caller is told that it failed.
const PATIENCE: Duration = Duration::from_millis(800);

/// Takes one back without making a key (`DECR` alone would) and without going
/// below zero.
const TAKE_BACK: &str = "local n = redis.call('GET', KEYS[1]) \
    if n and tonumber(n) > 0 then redis.call('DECR', KEYS[1]) end";

/// A connection that reconnects by itself.
pub struct RedisStore {
    connection: ConnectionManager,
    take_back: Script,
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
            connection,
            take_back: Script::new(TAKE_BACK),
        })
    }
}

#[async_trait]
impl HotStore for RedisStore {
    async fn count(&self, ticks: &[Tick], _: Now) -> Result<Vec<u64>, HotError> {
        // Redis knows no empty pipeline.
        if ticks.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for tick in ticks {
            pipe.incr(&tick.key, 1_u8);
            pipe.pexpire_at(&tick.key, tick.expires_ms as i64).ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await
    }

    async fn take_back(&self, keys: &[String], _: Now) -> Result<(), HotError> {
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

    async fn mark(&self, key: &str, expires_ms: u64, _: Now) -> Result<(), HotError> {
        redis::cmd("SET")
            .arg(key)
            .arg(1)
            .arg("PXAT")
            .arg(expires_ms)
            .query_async(&mut self.connection.clone())
            .await
    }

    async fn exists(&self, key: &str, _: Now) -> Result<bool, HotError> {
        redis::cmd("EXISTS")
            .arg(key)
            .query_async(&mut self.connection.clone())
            .await
    }
}
