//! The edge in a real workerd, as a child process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::Command;

use super::DevError;
use super::child::Child;

/// How long workerd may take to listen.
const READY_PATIENCE: Duration = Duration::from_secs(15);

/// What the Worker is told: its variables, by the names in `wrangler.toml`.
#[derive(Debug, Clone, Default)]
pub struct EdgeSettings {
    /// Where the core is.
    pub core_url: String,
    /// What `iss` must say.
    pub issuer: String,
    /// The edge's credential at the feed.
    pub edge_id: String,
    /// The same.
    pub edge_secret: String,
    /// `<org_id>:<identifier>`, several separated by spaces.
    pub resources: String,
    /// What is protected; empty for a gateway's `/verify` alone.
    pub origin_url: String,
    /// Scopes that every call needs, separated by spaces.
    pub required_scopes: String,
    /// Every other variable, by its name in `wrangler.toml`.
    pub more: Vec<(&'static str, String)>,
    /// Where it listens, on loopback.
    pub port: u16,
}

/// What workerd is started from.
#[derive(Debug, Clone)]
pub struct Files {
    workerd: PathBuf,
    config: PathBuf,
}

impl Files {
    /// Looks for the bundle and for npm's workerd.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn find(bundle: &Path, node_modules: &Path) -> Result<Self, DevError> {
        let config = bundle.join("workerd.capnp");
        if !config.exists() {
            return Err(DevError("the Worker has not been built: run `make dev`, or cargo run --release -p agentidp-edge-bundle".into()));
        }
        let scope = std::fs::read_dir(node_modules.join("@cloudflare"))
            .into_iter()
            .flatten()
            .flatten();
        let workerd = scope
            .map(|entry| entry.path().join("bin/workerd"))
            .find(|path| path.exists());
        let workerd = workerd.ok_or_else(|| {
            DevError("workerd is not installed: install Node 20 with npm, then run `npm ci --prefix edge`".into())
        })?;
        Ok(Self { workerd, config })
    }

    /// workerd's configuration, beside the bundle.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The same workerd with another configuration.
    pub(super) fn with_config(&self, config: PathBuf) -> Self {
        let workerd = self.workerd.clone();
        Self { workerd, config }
    }
}

/// A running workerd.
#[derive(Debug)]
pub struct Edge {
    child: Child,
}

impl Edge {
    /// Starts it, with its objects' counts in the folder `objects`, and waits
    /// until it listens.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(
        files: &Files,
        settings: &EdgeSettings,
        objects: &Path,
    ) -> Result<Self, DevError> {
        let objects = std::fs::canonicalize(objects).map_err(DevError::new)?;
        let log = objects.with_file_name("edge.log");
        let mut command = Command::new(&files.workerd);
        command
            .arg("serve")
            .arg(&files.config)
            .arg(format!("--socket-addr=http=127.0.0.1:{}", settings.port))
            .arg(format!("--directory-path=objects={}", objects.display()));
        for (name, value) in [
            ("CORE_URL", &settings.core_url),
            ("ISSUER_URL", &settings.issuer),
            ("EDGE_ID", &settings.edge_id),
            ("EDGE_SECRET", &settings.edge_secret),
            ("RESOURCES", &settings.resources),
            ("ORIGIN_URL", &settings.origin_url),
            ("REQUIRED_SCOPES", &settings.required_scopes),
        ] {
            command.env(name, value);
        }
        for (name, value) in &settings.more {
            command.env(name, value);
        }
        let mut edge = Self {
            child: Child::start(command, &log, Signal::TERM)?,
        };
        let begun = Instant::now();
        while begun.elapsed() < READY_PATIENCE && !edge.child.has_ended() {
            if tokio::net::TcpStream::connect(("127.0.0.1", settings.port))
                .await
                .is_ok()
            {
                return Ok(edge);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Err(DevError(format!(
            "the edge does not start; its log is {}",
            log.display()
        )))
    }

    /// Its process id, until it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Done when it has ended.
    pub async fn ended(&mut self) {
        let _ = self.child.ended().await;
    }

    /// Stops it.
    pub async fn stop(self) {
        self.child.stop().await;
    }
}
