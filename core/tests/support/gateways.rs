//! nginx and Caddy, started from the very files in `examples/` with the values that
//! these ask for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentidp_core::dev::Child;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{free_port, root};

/// How long one may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands behind a gateway.
#[derive(Debug, Clone)]
pub struct Behind<'a> {
    /// The edge's address, without a scheme.
    pub edge: &'a str,
    /// The API's.
    pub origin: &'a str,
    /// `GATEWAY_SECRET`.
    pub secret: &'a str,
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    pub url: String,
}

/// The program of the PATH, or what `make gateways` unpacked.
fn program(name: &str) -> PathBuf {
    ["usr/sbin", "usr/bin"]
        .map(|folder| root().join("target").join(name).join(folder).join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| name.into())
}

impl Gateway {
    /// nginx, with `examples/nginx/nginx.conf.template` filled in as `envsubst` does.
    pub async fn nginx(folder: &Path, behind: &Behind<'_>) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder).unwrap();
        let file = root().join("examples/nginx/nginx.conf.template");
        let mut text = std::fs::read_to_string(file).unwrap();
        for (name, value) in [
            ("${LISTEN}", listen.as_str()),
            ("${EDGE}", behind.edge),
            ("${ORIGIN}", behind.origin),
            ("${GATEWAY_SECRET}", behind.secret),
        ] {
            assert!(text.contains(name), "{name}");
            text = text.replace(name, value);
        }
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(&folder).args(["-c", "nginx.conf"]);
        command.args(["-e", "stderr", "-g", "daemon off;"]);
        Self::start(command, folder.join("nginx.log"), listen).await
    }

    /// Caddy, with `examples/caddy/Caddyfile` as it is: its values are variables.
    pub async fn caddy(folder: &Path, behind: &Behind<'_>) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let folder = folder.join("caddy");
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(program("caddy"));
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(root().join("examples/caddy/Caddyfile"))
            .env("SITE", format!("http://{listen}"))
            .env("EDGE", behind.edge)
            .env("ORIGIN", behind.origin)
            .env("GATEWAY_SECRET", behind.secret)
            .env("HOME", &folder)
            .env("XDG_DATA_HOME", &folder)
            .env("XDG_CONFIG_HOME", &folder);
        Self::start(command, folder.join("caddy.log"), listen).await
    }

    async fn start(command: Command, log: PathBuf, listen: String) -> Self {
        let mut child = Child::start(command, &log, Signal::TERM).expect("`make gateways`");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !child.has_ended() {
            if TcpStream::connect(&listen).await.is_ok() {
                let url = format!("http://{listen}");
                return Self { child, url };
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!(
            "it does not start: {}",
            std::fs::read_to_string(log).unwrap()
        );
    }

    pub async fn stop(self) {
        self.child.stop().await;
    }
}
