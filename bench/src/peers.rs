//! The contenders beside the service at the token endpoint: npm's oidc-provider,
//! and the ceiling, which is this program again. Both are told the same.

use std::path::Path;

use agentidp_core::dev::Child;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::http::Client;
use crate::verify::Alg;
use crate::{Outcome, cpu, ports};

/// What a peer is told, as JSON on its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) alg: Alg,
    pub(crate) port: u16,
    pub(crate) clients: Vec<Client>,
    pub(crate) resource: String,
    pub(crate) scope: String,
    /// Of a token, in seconds.
    pub(crate) lifetime: u64,
}

/// A running one.
pub(crate) struct Peer {
    pub(crate) pid: u32,
    pub(crate) port: u16,
    child: Child,
}

impl Peer {
    /// npm's, from `bench/peers`.
    pub(crate) async fn oidc_provider(settings: &Settings, log: &Path) -> Outcome<Self> {
        let mut command = Command::new("node");
        command
            .arg("bench/peers/oidc-provider.mjs")
            .env("NODE_ENV", "production");
        Self::start(command, settings, log).await
    }

    /// This program's own.
    pub(crate) async fn ceiling(settings: &Settings, log: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("ceiling");
        Self::start(command, settings, log).await
    }

    async fn start(mut command: Command, settings: &Settings, log: &Path) -> Outcome<Self> {
        command.arg(serde_json::to_string(settings)?);
        let start = async { Ok(Child::start(command, log, Signal::TERM)?) };
        let (mut child, pid) = cpu::started(start).await?;
        ports::wait(settings.port, &mut child, log).await?;
        Ok(Self {
            pid,
            port: settings.port,
            child,
        })
    }

    pub(crate) async fn stop(self) {
        self.child.stop().await;
    }
}
