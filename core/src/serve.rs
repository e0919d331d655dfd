//! `agentidp serve`: PostgreSQL, Redis, migrations, application, in this order,
//! and the way back when it is told to stop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::addresses::Addresses;
use crate::app::App;
use crate::audit::Writer;
use crate::clients::Clients;
use crate::config::{Config, DatabaseUrl};
use crate::connections::most_connections;
use crate::credentials::Uses;
use crate::database::Database;
use crate::edge_sync::{Kept, Seen};
use crate::health::Looked;
use crate::hot::Timed;
use crate::keys::{KeyError, KeyRing};
use crate::limits::Ledger;
use crate::metrics::Metrics;
use crate::once::Seal;
use crate::policy::{Policies, Samples, Trapped, this_program};
use crate::{follow, hot, housekeeping, listen, migrate, mirror, routes};

/// How long the start waits for PostgreSQL and for Redis.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop waits for PostgreSQL, after its last request.
const LAST_PATIENCE: Duration = Duration::from_millis(2_500);

/// How many connections may wait to be accepted: what comes in a flood beyond that
/// is asked by its system to come again, a second later.
const MOST_UNACCEPTED: u32 = 4_096;

/// How many connections `METRICS_PORT` has at a time.
const MOST_SCRAPERS: usize = 64;

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
    #[error("cannot listen on {0}: {1}; set {2} to another one")]
    Listen(SocketAddr, std::io::Error, &'static str),
}

/// A service that listens, and can be run to its end.
#[derive(Debug)]
pub struct Service {
    app: Arc<App>,
    listener: TcpListener,
    /// Of `METRICS_PORT`.
    metrics: Option<TcpListener>,
}

/// Connects to PostgreSQL, waiting a while for one that is just starting.
///
/// # Errors
/// The last failure.
pub async fn connect_database(url: &DatabaseUrl, size: u32) -> Result<Database, StartError> {
    patiently(|| Database::connect(url, size))
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
    pub async fn start(config: Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        listen::raise_file_limit();
        let database = connect_database(&config.database_url, config.database_pool_size).await?;
        let hot = patiently(|| hot::connect(&config.hot_url))
            .await
            .map_err(StartError::Hot)?;
        let keys = KeyRing::from_config(&config).await?;
        let policy = Policies::start(&config.jwt_private_key, this_program())?;
        if migrate::is_current(&database)
            .await
            .map_err(StartError::Database)?
        {
            policy
                .warm_up(&database)
                .await
                .map_err(StartError::Database)?;
        } else {
            tracing::warn!("the database has not been migrated: run `agentidp migrate`");
        }
        let listener = bind(config.host, config.port, "PORT")?;
        let metrics_listener = match config.metrics_port {
            None => None,
            Some(port) => Some(bind(config.host, port, "METRICS_PORT")?),
        };
        let app = Arc::new(App {
            audit: Writer::start(database.clone()),
            database,
            hot: Box::new(Timed::new(hot, Arc::clone(&metrics))),
            keys,
            clients: Clients::default(),
            policy: Arc::new(policy),
            samples: Samples::default(),
            ledger: Ledger::default(),
            uses: Uses::default(),
            seen: Seen::default(),
            pages: Kept::default(),
            metrics,
            addresses: Addresses::new(config.address_limits),
            looked: Looked::default(),
            seal: Seal::new(&config.jwt_private_key),
            config,
        });
        let port = |listener: &TcpListener| listener.local_addr().map_or(0, |bound| bound.port());
        if let Some(listener) = &metrics_listener {
            tracing::info!("metrics on port {}", port(listener));
        }
        tracing::info!(
            "SentryAgent.ai AgentIdP listening on port {}",
            port(&listener)
        );
        Ok(Self {
            app,
            listener,
            metrics: metrics_listener,
        })
    }

    /// The parts, for whoever runs beside the service.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop`, then finishes what is in flight and what the record
    /// still waits for.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        // Side by side: nothing delays the news of a change.
        let mut beside = JoinSet::new();
        beside.spawn(follow::follow(Arc::clone(&self.app)));
        beside.spawn(mirror::mirror(Arc::clone(&self.app)));
        beside.spawn(housekeeping::keep_house(Arc::clone(&self.app)));
        let stop = async {
            stop.await;
            tracing::info!("Shutting down gracefully...");
        };
        let trusted = self.app.config.trusted_proxies.clone();
        let metrics = self.metrics.map(|listener| {
            let router = routes::metrics_router(Arc::clone(&self.app));
            // Nobody waits for what Prometheus is still reading.
            tokio::spawn(listen::listen(
                listener,
                router,
                MOST_SCRAPERS,
                Vec::new(),
                std::future::pending(),
            ))
        });
        listen::listen(
            self.listener,
            routes::router(Arc::clone(&self.app)),
            most_connections(),
            trusted,
            stop,
        )
        .await;
        beside.abort_all();
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        let written = async {
            self.app.audit.close().await;
            housekeeping::write_uses(&self.app).await;
            self.app.database.close().await;
        };
        // Whoever was answered has its event on disk already.
        if tokio::time::timeout(LAST_PATIENCE, written).await.is_err() {
            tracing::error!("Unexpected pg pool error no answer in time");
        }
    }
}

fn bind(host: IpAddr, port: u16, name: &'static str) -> Result<TcpListener, StartError> {
    let address = SocketAddr::new(host, port);
    let bound = || {
        let socket = if host.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A port that was left a moment ago is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(MOST_UNACCEPTED)
    };
    bound().map_err(|error| StartError::Listen(address, error, name))
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
