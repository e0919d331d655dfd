//! PostgreSQL: a bounded pool of connections, and how many wait for one. Nothing
//! relies on what a session remembers: a pooler in transaction mode will do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres, Transaction};

use crate::config::DatabaseUrl;

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// A statement gives up, and its connection is free, where others hold on to a
/// lock for longer than anybody waits for the answer.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '1500ms'";

/// The connections; clones share them.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    waiting: Arc<AtomicU32>,
}

impl Database {
    /// Connects, with `size` connections at most.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(url: &DatabaseUrl, size: u32) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            // And none at least: sqlx would look for a lost one with pauses of up to
            // a minute, and keep a place for it meanwhile.
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            // A connection that died while idle is noticed by its next user.
            .test_before_acquire(false)
            .connect(&url.0)
            .await?;
        Ok(Self {
            pool,
            waiting: Arc::default(),
        })
    }

    /// A connection, when one is free.
    ///
    /// # Errors
    /// None was free in time, or none can be made.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let _waiting = Waiting::begin(&self.waiting);
        self.pool.acquire().await
    }

    /// A transaction, when a connection is free.
    ///
    /// # Errors
    /// The same, or the database's.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let _waiting = Waiting::begin(&self.waiting);
        self.pool.begin_with(BEGIN).await
    }

    /// How many connections are in use.
    pub fn active(&self) -> u32 {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        self.pool.size().saturating_sub(idle)
    }

    /// How many requests wait for a connection.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Counts one that waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
