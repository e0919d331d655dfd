//! `agentidp dev`: a first start, a second one, and every way in which it ends.

mod counts;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::support::{BINARY, free_port, read_env, root, text};

struct Dev {
    folder: PathBuf,
    port: u16,
    edge_port: u16,
    http: reqwest::Client,
    /// Somebody else's database instead of its own.
    database_url: String,
}

impl Dev {
    fn new() -> Self {
        Self::on("")
    }

    fn on(database_url: &str) -> Self {
        let parent =
            std::env::temp_dir().join(format!("agentidp-dev-{:08x}", rand::random::<u32>()));
        fs::create_dir_all(&parent).unwrap();
        // As a fresh clone below somebody's closed home would be.
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            folder: parent.join("agentidp"),
            port: free_port(),
            edge_port: free_port(),
            http: reqwest::Client::new(),
            database_url: database_url.to_owned(),
        }
    }

    /// `shell` is `exec` for the process itself, or something that keeps a parent.
    fn spawn(&self, shell: &str) -> Child {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        Command::new("sh")
            .args([
                "-c",
                &format!("{shell} {BINARY} dev --folder {}", self.folder.display()),
            ])
            .current_dir(root())
            .env("DATABASE_URL", &self.database_url)
            .env_remove("REDIS_URL")
            .env("PORT", self.port.to_string())
            .env("EDGE_PORT", self.edge_port.to_string())
            .env("RATE_LIMIT_WINDOW_MS", "86400000")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts it and waits for its `n`th «Ready.».
    async fn start(&self, shell: &str, n: usize) -> Child {
        let child = self.spawn(shell);
        let begun = Instant::now();
        while self.said().matches("\nReady.").count() < n {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        child
    }

    fn env(&self) -> HashMap<String, String> {
        read_env(&fs::read_to_string(self.folder.join("dev.env")).unwrap())
    }

    async fn token(&self) -> String {
        let answer = self.ask_token("AGENTIDP_CLIENT").await;
        assert_eq!(answer.status(), StatusCode::OK);
        text(&answer.json::<Value>().await.unwrap(), "access_token")
    }

    /// As the client whose variables begin with `client`.
    async fn ask_token(&self, client: &str) -> Response {
        let env = self.env();
        let request = self
            .http
            .post(format!("{}/api/v1/token", env["AGENTIDP_URL"]));
        request
            .basic_auth(
                &env[&format!("{client}_ID")],
                Some(&env[&format!("{client}_SECRET")]),
            )
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap()
    }

    /// Status at the edge, and what it says is left.
    async fn hello(&self, token: &str) -> (StatusCode, Option<u64>) {
        let answer = self
            .http
            .get(format!("{}/hello", self.env()["AGENTIDP_EDGE_URL"]))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let left = answer
            .headers()
            .get("x-ratelimit-remaining")
            .map(|left| left.to_str().unwrap().parse().unwrap());
        (answer.status(), left)
    }

    /// Processes that were started for this folder, or for its database.
    fn processes(&self) -> Vec<String> {
        let home = fs::read_to_string(self.folder.join("postgres-home")).unwrap_or_default();
        let ours = |command: &str| {
            command.contains(&self.folder.display().to_string())
                || (!home.is_empty() && command.contains(home.trim()))
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
            .filter(|command| ours(command))
            .collect()
    }

    async fn none_is_left(&self) {
        let begun = Instant::now();
        while !self.processes().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "{:?}",
                self.processes()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Ok(home) = fs::read_to_string(self.folder.join("postgres-home")) {
            let _ = fs::remove_dir_all(home.trim());
        }
        let _ = fs::remove_dir_all(self.folder.parent().unwrap());
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(
        Pid::from_raw(child.id().unwrap().cast_signed()).unwrap(),
        signal,
    )
    .unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_second_start_finds_the_same_data_keys_revocations_and_counts() {
    let dev = Dev::new();
    let mut first = dev.start("exec", 1).await;
    let env = dev.env();
    assert_eq!(mode(&dev.folder.join("dev.env")), 0o600);
    for name in [
        "AGENTIDP_URL",
        "AGENTIDP_EDGE_URL",
        "AGENTIDP_OPERATOR_CLIENT_ID",
        "AGENTIDP_OPERATOR_CLIENT_SECRET",
        "AGENTIDP_ORG_ID",
        "AGENTIDP_CLIENT_ID",
        "AGENTIDP_CLIENT_SECRET",
        "AGENTIDP_ADMIN_CLIENT_ID",
        "AGENTIDP_ADMIN_CLIENT_SECRET",
    ] {
        assert!(!env[name].is_empty(), "{name}");
    }
    let (kept, revoked) = (dev.token().await, dev.token().await);
    for left in [99, 98, 97] {
        assert_eq!(dev.hello(&kept).await, (StatusCode::OK, Some(left)));
    }
    let request = dev
        .http
        .post(format!("{}/api/v1/token/revoke", env["AGENTIDP_URL"]));
    let request = request.basic_auth(
        &env["AGENTIDP_CLIENT_ID"],
        Some(&env["AGENTIDP_CLIENT_SECRET"]),
    );
    assert_eq!(
        request
            .form(&[("token", revoked.as_str())])
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    signal(&first, Signal::INT);
    assert!(first.wait().await.unwrap().success(), "{}", dev.said());
    dev.none_is_left().await;

    let mut second = dev.start("exec", 2).await;
    assert_eq!(dev.env(), env);
    assert_eq!(dev.hello(&revoked).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(dev.hello(&kept).await, (StatusCode::OK, Some(96)));
    // Another one beside it is told why not.
    let refused = Command::new(BINARY)
        .args(["dev", "--folder"])
        .arg(&dev.folder)
        .current_dir(root())
        .output()
        .await
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop that one first"));
    signal(&second, Signal::TERM);
    assert!(second.wait().await.unwrap().success());
    dev.none_is_left().await;
}

#[tokio::test]
async fn neither_a_killed_parent_nor_a_kill_leaves_a_process_and_both_can_start_again() {
    let dev = Dev::new();
    // A shell that waits for it, as make does.
    let parent = dev.start("trap : USR1;", 1).await;
    let env = dev.env();
    signal(&parent, Signal::KILL);
    dev.none_is_left().await;

    let itself = dev.start("exec", 2).await;
    signal(&itself, Signal::KILL);
    dev.none_is_left().await;
    let mut again = dev.start("exec", 3).await;
    assert_eq!(dev.env(), env);
    let token = dev.token().await;
    assert_eq!(dev.hello(&token).await.0, StatusCode::OK);
    signal(&again, Signal::INT);
    assert!(again.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line_with_the_remedy() {
    let dev = Dev::new();
    for (port, name) in [(dev.port, "PORT"), (dev.edge_port, "EDGE_PORT")] {
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let mut child = dev.spawn("exec");
        assert!(!child.wait().await.unwrap().success());
        let said = dev.said();
        let line = said.lines().last().unwrap();
        assert!(
            line.contains(&format!("port {port} is in use"))
                && line.contains(&format!("set {name} ")),
            "{said}"
        );
        drop(taken);
    }
}

#[tokio::test]
async fn a_stop_while_it_starts_leaves_no_process() {
    let dev = Dev::new();
    for wait_ms in [100, 400, 900] {
        let mut child = dev.spawn("exec");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        signal(&child, Signal::INT);
        let ended = tokio::time::timeout(Duration::from_secs(12), child.wait()).await;
        assert!(ended.is_ok(), "{}", dev.said());
        dev.none_is_left().await;
    }
    let mut child = dev
        .start("exec", dev.said().matches("\nReady.").count() + 1)
        .await;
    let token = dev.token().await;
    assert_eq!(dev.hello(&token).await.0, StatusCode::OK);
    signal(&child, Signal::INT);
    assert!(child.wait().await.unwrap().success());
}
