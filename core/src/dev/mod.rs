//! The embedded default, `agentidp dev`: everything that there is, on this
//! machine, for whoever tries it out. Every part is the real one; only the
//! tenants and the origin are made up.

mod child;
mod demo;
mod echo;
mod edge;
mod env_file;
mod folder;
mod isolates;
pub mod postgres;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::Now;
use crate::config::{self, Config};
use crate::keys;
use crate::metrics::Metrics;
use crate::serve::{Service, connect_database, signalled};
use crate::telemetry::Flush;
use crate::{migrate, telemetry};
use folder::Folder;

pub use child::Child;
pub use echo::start as start_echo;
pub use edge::{Edge, EdgeSettings, Files as EdgeFiles};

/// `agentidp dev`'s flags.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where it keeps what it makes.
    #[arg(long, default_value = ".agentidp")]
    pub folder: PathBuf,
    /// The Worker, as `agentidp-edge-bundle` built it.
    #[arg(long, default_value = "target/edge-bundle")]
    pub bundle: PathBuf,
    /// The npm packages with workerd among them.
    #[arg(long, default_value = "edge/node_modules")]
    pub node_modules: PathBuf,
}

/// Why it did not start: one line, with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DevError(pub(crate) String);

impl DevError {
    pub(crate) fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// A line about what is going on.
#[expect(clippy::print_stdout, reason = "a command line talks to its user")]
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Everything that was started.
struct Running {
    postgres: Option<postgres::Postgres>,
    core: JoinHandle<()>,
    stop_core: oneshot::Sender<()>,
    edge: Edge,
    _flush: Flush,
    // Locked for as long as this runs.
    _folder: Folder,
}

/// Starts everything, says what to paste next, and runs until it is told to stop
/// or its parent has gone, which may be while it starts.
///
/// # Errors
/// The first part that cannot be had.
pub async fn run(options: Options) -> Result<(), DevError> {
    let mut stop = std::pin::pin!(signalled().map_err(DevError::new)?);
    let mut orphaned = std::pin::pin!(child::orphaned());
    let mut running = tokio::select! {
        started = start(options) => started?,
        // What had begun ends with this.
        () = &mut stop => return Ok(()),
        () = &mut orphaned => return Ok(()),
    };
    let failed = tokio::select! {
        () = stop => None,
        () = orphaned => None,
        () = running.edge.ended() => Some("the edge has ended by itself"),
        () = ended(&mut running.postgres) => Some("Postgres has ended by itself"),
    };
    running.edge.stop().await;
    let _ = running.stop_core.send(());
    let _ = running.core.await;
    if let Some(postgres) = running.postgres {
        postgres.stop().await;
    }
    failed.map_or(Ok(()), |why| Err(DevError::new(why)))
}

async fn start(options: Options) -> Result<Running, DevError> {
    let mut vars = config::environment();
    let port = self::port(&vars, "PORT", 3000)?;
    let edge_port = self::port(&vars, "EDGE_PORT", 8787)?;
    if port == edge_port {
        let why = format!("PORT and EDGE_PORT are both {port}: set one of them to another port");
        return Err(DevError(why));
    }
    let folder = Folder::open(&options.folder)?;
    let edge_files = edge::Files::find(&options.bundle, &options.node_modules)?;
    check_free(port, "PORT")?;
    check_free(edge_port, "EDGE_PORT")?;

    let postgres = match vars.get("DATABASE_URL").filter(|url| !url.is_empty()) {
        Some(_) => None,
        None => {
            let postgres = postgres::Postgres::start(&folder.database_home()?).await?;
            vars.insert("DATABASE_URL".into(), postgres.url().to_owned());
            Some(postgres)
        }
    };
    complete(&mut vars, &folder, port)?;
    let config = Config::from_vars(&vars).map_err(DevError::new)?;
    let metrics = Arc::new(Metrics::new().map_err(DevError::new)?);
    let flush = telemetry::start(config.app_env, Some(Arc::clone(&metrics)));

    let database = connect_database(&config.database_url, 2)
        .await
        .map_err(DevError::new)?;
    migrate::migrate(&database, Now::read())
        .await
        .map_err(DevError::new)?;
    let demo = demo::prepare(&database, &folder).await?;
    database.close().await;

    let core_url = format!("http://127.0.0.1:{port}");
    let issuer = config.issuer.as_str().to_owned();
    let service = Service::start(config, metrics)
        .await
        .map_err(DevError::new)?;
    let origin = echo::start().await?;
    let (stop_core, stopped) = oneshot::channel::<()>();
    let core = tokio::spawn(service.run(async {
        let _ = stopped.await;
    }));
    let settings = EdgeSettings {
        core_url: core_url.clone(),
        issuer,
        edge_id: demo.edge_id.clone(),
        edge_secret: demo.edge_secret.clone(),
        resources: format!("{}:{}", demo.org_id, demo::RESOURCE),
        origin_url: format!("http://{origin}"),
        required_scopes: vars.get("REQUIRED_SCOPES").cloned().unwrap_or_default(),
        more: Vec::new(),
        port: edge_port,
    };
    let edge = Edge::start(&edge_files, &settings, &folder.edge_objects()?).await?;
    let edge_url = format!("http://127.0.0.1:{edge_port}");
    env_file::write(&folder, &core_url, &edge_url, &demo)?;
    say(env_file::paste_next(&folder));
    Ok(Running {
        postgres,
        core,
        stop_core,
        edge,
        _flush: flush,
        _folder: folder,
    })
}

async fn ended(postgres: &mut Option<postgres::Postgres>) {
    match postgres {
        Some(postgres) => postgres.ended().await,
        None => std::future::pending().await,
    }
}

/// The settings that nobody gave.
fn complete(
    vars: &mut HashMap<String, String>,
    folder: &Folder,
    port: u16,
) -> Result<(), DevError> {
    let mut default = |name: &str, value: String| {
        let given = vars.entry(name.to_owned()).or_default();
        if given.is_empty() {
            *given = value;
        }
    };
    default("REDIS_URL", "memory:".to_owned());
    default("HOST", Ipv4Addr::LOCALHOST.to_string());
    default("ISSUER_URL", format!("http://127.0.0.1:{port}"));
    let given = |name: &str| vars.get(name).is_some_and(|value| !value.trim().is_empty());
    // One half alone is for the settings to refuse.
    if !given("JWT_PRIVATE_KEY") && !given("JWT_PUBLIC_KEY") {
        let pair = folder
            .keys(|| keys::generate(agentidp_verify::Algorithm::EdDSA).map_err(DevError::new))?;
        vars.insert("JWT_PRIVATE_KEY".into(), pair.private);
        vars.insert("JWT_PUBLIC_KEY".into(), pair.public);
    }
    Ok(())
}

fn port(vars: &HashMap<String, String>, name: &str, default: u16) -> Result<u16, DevError> {
    match vars.get(name).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| DevError(format!("{name} must be a port from 1 to 65535"))),
    }
}

fn check_free(port: u16, name: &str) -> Result<(), DevError> {
    match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) => Ok(()),
        Err(_) => Err(DevError(format!(
            "port {port} is in use: stop what listens there, or set {name} to another port"
        ))),
    }
}
