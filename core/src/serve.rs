//! `agentidp serve`: PostgreSQL, Redis, migrations, application, in this order,
//! and the way back when it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;

use crate::app::App;
use crate::audit::Writer;
use crate::clients::Clients;
use crate::config::{Config, DatabaseUrl};
use crate::keys::{KeyError, KeyRing};
use crate::policy::{Policies, Trapped};
use crate::{follow, hot, listen, migrate, routes};

/// How long the start waits for PostgreSQL and for Redis.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long a request waits for a connection.
const ACQUIRE_PATIENCE: Duration = Duration::from_millis(1_200);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// PostgreSQL.
    #[error("PostgreSQL cannot be reached: {0}")]
    Database(sqlx::Error),
    /// Redis.
    #[error("Redis cannot be reached: {0}")]
    Hot(hot::HotError),
    /// The key pair.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The sandbox.
    #[error("the policy engine cannot be started: {0}")]
    Policy(#[from] Trapped),
    /// The port.
    #[error("cannot listen on {0}: {1}; set PORT to another one")]
    Listen(SocketAddr, std::io::Error),
}

/// A service that listens, and can be run to its end.
#[derive(Debug)]
pub struct Service {
    app: Arc<App>,
    listener: TcpListener,
}

/// Connects to PostgreSQL, waiting a while for one that is just starting.
///
/// # Errors
/// The last failure.
pub async fn connect_database(url: &DatabaseUrl, size: u32) -> Result<PgPool, StartError> {
    let options = PgPoolOptions::new()
        .max_connections(size)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_PATIENCE)
        // A connection that died while idle is noticed by its next user.
        .test_before_acquire(false);
    patiently(|| options.clone().connect(&url.0))
        .await
        .map_err(StartError::Database)
}

/// Tries until it works or [`START_PATIENCE`] is over.
async fn patiently<T, E>(attempt: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    let begun = tokio::time::Instant::now();
    loop {
        match attempt().await {
            Err(_) if begun.elapsed() < START_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

impl Service {
    /// Starts all parts and binds the port.
    ///
    /// # Errors
    /// The first part that cannot be had. Nothing has been answered then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let pool = connect_database(&config.database_url, config.database_pool_size).await?;
        let hot = patiently(|| hot::connect(&config.hot_url))
            .await
            .map_err(StartError::Hot)?;
        let keys = KeyRing::from_config(&config).await?;
        let policy = Policies::start()?;
        if migrate::is_current(&pool)
            .await
            .map_err(StartError::Database)?
        {
            policy.warm_up(&pool).await.map_err(StartError::Database)?;
        } else {
            tracing::warn!("the database has not been migrated: run `agentidp migrate`");
        }
        let address = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| StartError::Listen(address, error))?;
        let app = Arc::new(App {
            config,
            audit: Writer::start(pool.clone()),
            pool,
            hot,
            keys,
            clients: Clients::default(),
            policy,
        });
        let port = listener
            .local_addr()
            .map_or(address.port(), |bound| bound.port());
        tracing::info!("SentryAgent.ai AgentIdP listening on port {port}");
        Ok(Self { app, listener })
    }

    /// The parts, for whoever runs beside the service.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop`, then finishes what is in flight and what the record
    /// still waits for.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let follower = tokio::spawn(follow::follow(Arc::clone(&self.app)));
        let stop = async {
            stop.await;
            tracing::info!("Shutting down gracefully...");
        };
        listen::listen(self.listener, routes::router(Arc::clone(&self.app)), stop).await;
        follower.abort();
        self.app.audit.close().await;
        self.app.pool.close().await;
    }
}

/// Done at SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be listened to.
pub fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
