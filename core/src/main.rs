//! The command line: `serve`, `dev`, `migrate`, `bootstrap`, `health`, `keys`, `edge`,
//! `policy`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_core::change::Change;
use agentidp_core::clock::Now;
use agentidp_core::config::{AppEnv, Config, ConfigError, DatabaseUrl};
use agentidp_core::database::Database;
use agentidp_core::edge_sync::EdgeCommand;
use agentidp_core::metrics::Metrics;
use agentidp_core::policy::PolicyCommand;
use agentidp_core::serve::{Service, connect_database, signalled};
use agentidp_core::tenants::{Bootstrapped, bootstrap};
use agentidp_core::{dev, health, keys, migrate, policy, telemetry};
use agentidp_verify::Algorithm;
use clap::{Parser, Subcommand, ValueEnum};

/// The identity provider for AI agents.
#[derive(Debug, Parser)]
#[command(name = "agentidp", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, with the settings of the environment.
    Serve,
    /// Start everything on this machine: a private Postgres, the core, the edge, an origin.
    Dev(dev::Options),
    /// Apply the migrations to DATABASE_URL.
    Migrate,
    /// Make the first operator and print its credential, once.
    Bootstrap,
    /// Ask the service on this machine whether it is ready; for health checks.
    Health {
        /// Whether it lives, ready or not.
        #[arg(long)]
        live: bool,
    },
    /// Signing keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Places of the edge.
    #[command(subcommand)]
    Edge(EdgeCommand),
    /// A tenant's policy modules.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Print a new pair as JWT_PRIVATE_KEY and JWT_PUBLIC_KEY, for an env file.
    Generate {
        /// The signature algorithm.
        #[arg(long, value_enum, default_value_t = KeyAlgorithm::EdDSA)]
        alg: KeyAlgorithm,
    },
    /// Revoke a key that signs no more: edges refuse whatever it signed.
    Revoke {
        /// Its id, as the key set had it.
        kid: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyAlgorithm {
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDSA,
    /// ECDSA on P-256
    #[value(name = "ES256")]
    ES256,
    /// RSA with 2,048 bits
    #[value(name = "RS256")]
    RS256,
}

/// A token takes some hundred small allocations: the system's allocator took a
/// quarter of its time (see `docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    // Before there are settings, threads or anything else that it should not have.
    policy::compiler().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    let command = Arguments::parse().command;
    let failed_to = match &command {
        Command::Serve => "Failed to start server: Error",
        Command::Dev(_) => "Failed to start",
        Command::Migrate => "Migration failed: Error",
        Command::Bootstrap => "Bootstrap failed: Error",
        Command::Health { .. } => "Not healthy",
        Command::Keys(Keys::Generate { .. }) => "No key was made: Error",
        Command::Keys(Keys::Revoke { .. }) => "No key was revoked: Error",
        Command::Edge(EdgeCommand::Register { .. }) => "No edge was registered: Error",
        Command::Edge(EdgeCommand::List) => "No edge was listed: Error",
        Command::Edge(EdgeCommand::Revoke { .. }) => "No edge was revoked: Error",
        Command::Policy(_) => "The policy is not good: Error",
    };
    // Here and not in a spawned task: what `dev` spawns ends with this thread.
    let outcome = match command {
        Command::Serve => serve().await,
        Command::Dev(options) => dev::run(options).await.map_err(Into::into),
        Command::Migrate => run_migrate().await,
        Command::Bootstrap => run_bootstrap().await,
        Command::Health { live } => health::ask(live).await.map_err(Into::into),
        Command::Keys(Keys::Generate { alg }) => generate(alg),
        Command::Keys(Keys::Revoke { kid }) => revoke_key(&kid).await,
        Command::Edge(command) => run_edge(command).await,
        Command::Policy(command) => command.run().await.map(|shown| println!("{shown:#}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{failed_to}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Outcome {
    let config = Config::from_env()?;
    let metrics = Arc::new(Metrics::new()?);
    let _flush = telemetry::start(config.app_env, Some(Arc::clone(&metrics)));
    let mut stop = std::pin::pin!(signalled()?);
    tokio::select! {
        started = Service::start(config, metrics) => started?.run(stop).await,
        // Nothing has been answered yet.
        () = &mut stop => tracing::info!("Shutting down gracefully..."),
    }
    Ok(())
}

/// The database alone, for the commands that need no more.
async fn database() -> Result<Database, Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty());
    let url = url.ok_or(ConfigError::Missing("DATABASE_URL"))?;
    Ok(connect_database(&DatabaseUrl::from(url), 2).await?)
}

async fn run_migrate() -> Outcome {
    let _flush = telemetry::start(AppEnv::Development, None);
    migrate::migrate(&database().await?, Now::read()).await?;
    println!("The database is up to date.");
    Ok(())
}

async fn run_bootstrap() -> Outcome {
    let change = Change::begin(&database().await?, None, None, Now::read()).await?;
    match bootstrap(change).await? {
        Bootstrapped::AlreadyThere => Err("there is an operator already".into()),
        Bootstrapped::Made(made) => {
            println!(
                "AGENTIDP_OPERATOR_CLIENT_ID={}",
                made.administrator.client_id
            );
            println!(
                "AGENTIDP_OPERATOR_CLIENT_SECRET={}",
                made.administrator.client_secret.reveal()
            );
            eprintln!("This is the only time that the secret is shown.");
            Ok(())
        }
    }
}

fn generate(alg: KeyAlgorithm) -> Outcome {
    let pair = keys::generate(match alg {
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::RS256 => Algorithm::RS256,
    })?;
    let line = |pem: &str| pem.trim_end().replace("\r\n", "\n").replace('\n', "\\n");
    println!("JWT_PRIVATE_KEY=\"{}\"", line(&pair.private));
    println!("JWT_PUBLIC_KEY=\"{}\"", line(&pair.public));
    Ok(())
}

async fn revoke_key(kid: &str) -> Outcome {
    // Where the settings are those of the service.
    if let Ok(config) = Config::from_env() {
        let ring = keys::KeyRing::from_config(&config).await?;
        if ring.signer.public().kid == kid {
            return Err("this is the key that signs: give the service another one first".into());
        }
    }
    let change = Change::begin(&database().await?, None, None, Now::read()).await?;
    keys::revoke(change, kid).await?;
    println!("{kid} is revoked.");
    Ok(())
}

async fn run_edge(command: EdgeCommand) -> Outcome {
    let (shown, beside) = command.run(&database().await?).await?;
    print!("{shown}");
    if let Some(beside) = beside {
        eprintln!("{beside}");
    }
    Ok(())
}
