//! A whole deployment for one journey: a database of its own, the real binary,
//! and, where it is asked for, the edge in a real workerd before an echo origin.

pub mod accounts;
pub mod between;
mod calls;
pub mod compose;
pub mod contract;
pub mod forge;
pub mod gateways;
pub mod guarded;
pub mod guest;
pub mod load;
pub mod memory;
pub mod modules;
pub mod origin;
pub mod own_redis;
pub mod policy;
pub mod prometheus;
mod replica;
pub mod secrets;
pub mod stack;
pub mod stores;
pub mod streams;
pub mod websocket;
pub mod wire;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use agentidp_core::dev::{Child, Edge, EdgeFiles, EdgeSettings, start_echo};
use agentidp_core::keys;
use agentidp_verify::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::Value;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_agentidp");

/// A client's id and secret.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// Out of an answer that shows a new credential.
    pub fn from_json(value: &Value) -> Self {
        Self::new(text(value, "client_id"), text(value, "client_secret"))
    }

    fn new(id: String, secret: String) -> Self {
        secrets::keep_credential(&id, &secret);
        Self { id, secret }
    }
}

/// A tenant with one resource and one agent that may read and write there.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub org_id: String,
    pub administrator: Client,
    pub resource: String,
    pub agent: Client,
}

pub struct Deployment {
    pub url: String,
    pub http: reqwest::Client,
    pub operator: Client,
    pub pool: PgPool,
    pub private_key: String,
    pub public_key: String,
    pub folder: PathBuf,
    vars: HashMap<String, String>,
    core: Option<Child>,
    edge: Option<Edge>,
    database: String,
}

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, which starts what the tests need")
    })
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The text member `name`.
pub fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// An empty database on the tests' server, and its URL.
pub async fn new_database() -> (String, String) {
    new_database_at(&required("DATABASE_URL")).await
}

async fn new_database_at(server: &str) -> (String, String) {
    let name = format!("agentidp_test_{:016x}", rand::random::<u64>());
    let pool = PgPool::connect(server).await.expect("the tests' Postgres");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(&name);
    (name, url.to_string())
}

/// Runs the binary to its end: success, what it printed, what it complained of.
pub async fn run(arguments: &[&str], vars: &HashMap<String, String>) -> (bool, String, String) {
    let output = Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .envs(vars)
        .output()
        .await
        .unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// `NAME=value` lines.
pub fn read_env(lines: &str) -> HashMap<String, String> {
    lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl Deployment {
    /// Core alone, with an Ed25519 key.
    pub async fn start() -> Self {
        Self::start_with(Algorithm::EdDSA, &[]).await
    }

    /// With a database of its own on the server that `DATABASE_URL` names, in
    /// `settings` or for all tests.
    pub async fn start_with(algorithm: Algorithm, settings: &[(&str, &str)]) -> Self {
        let given = settings.iter().find(|(name, _)| *name == "DATABASE_URL");
        let server = given.map_or_else(|| required("DATABASE_URL"), |(_, url)| (*url).to_owned());
        let (database, database_url) = new_database_at(&server).await;
        let pair = keys::generate(algorithm).unwrap();
        let port = free_port();
        let mut vars: HashMap<String, String> = [
            ("DATABASE_URL", database_url.clone()),
            ("REDIS_URL", required("REDIS_URL")),
            ("JWT_PRIVATE_KEY", pair.private.clone()),
            ("JWT_PUBLIC_KEY", pair.public.clone()),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("ISSUER_URL", format!("http://127.0.0.1:{port}")),
            ("APP_ENV", "development".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let settings = settings.iter().filter(|(name, _)| *name != "DATABASE_URL");
        for (name, value) in settings {
            vars.insert((*name).to_owned(), (*value).to_owned());
        }
        let (migrated, _, why) = run(&["migrate"], &vars).await;
        assert!(migrated, "{why}");
        let (bootstrapped, printed, why) = run(&["bootstrap"], &vars).await;
        assert!(bootstrapped, "{why}");
        let printed = read_env(&printed);
        secrets::keep_pem(&vars["JWT_PRIVATE_KEY"]);
        // One that somebody chose may be any word.
        let password = url::Url::parse(&server).unwrap();
        if let Some(password) = password.password().filter(|word| word.len() > 30) {
            secrets::keep(password);
        }

        let folder = std::env::temp_dir().join(&database);
        std::fs::create_dir_all(&folder).unwrap();
        let mut deployment = Self {
            url: format!("http://127.0.0.1:{}", vars["PORT"]),
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            operator: Client::new(
                printed["AGENTIDP_OPERATOR_CLIENT_ID"].clone(),
                printed["AGENTIDP_OPERATOR_CLIENT_SECRET"].clone(),
            ),
            pool: PgPool::connect(&database_url).await.unwrap(),
            private_key: pair.private,
            public_key: pair.public,
            folder,
            vars,
            core: None,
            edge: None,
            database,
        };
        deployment.start_core().await;
        deployment
    }

    /// Starts the core and waits until it is ready.
    pub async fn start_core(&mut self) {
        let mut command = Command::new(BINARY);
        command.arg("serve").env_clear().envs(&self.vars);
        self.core = Some(Child::start(command, &self.log(), Signal::TERM).unwrap());
        for _ in 0..200 {
            let ready = self.http.get(format!("{}/ready", self.url)).send().await;
            if ready.is_ok_and(|ready| ready.status() == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!(
            "the core is not ready: {}",
            std::fs::read_to_string(self.log()).unwrap()
        );
    }

    /// Stops the core as an operator would.
    pub async fn stop_core(&mut self) {
        self.core.take().unwrap().stop().await;
    }

    /// Ends the core by a signal; answers with how it ended.
    pub async fn end_core(&mut self, signal: Signal) -> ExitStatus {
        let mut core = self.core.take().unwrap();
        stores::send(core.id().unwrap(), signal);
        let ended = tokio::time::timeout(Duration::from_secs(20), core.ended()).await;
        ended.expect("the core does not end").unwrap()
    }

    /// The core's process id.
    pub fn core_id(&self) -> u32 {
        self.core.as_ref().unwrap().id().unwrap()
    }

    /// The core serves, and has said nothing of a panic.
    pub async fn is_well(&self) {
        self.token(&self.operator).await;
        let log = std::fs::read_to_string(self.log()).unwrap();
        let fine = !log.contains("panicked") && !log.contains("internal error");
        assert!(fine, "{log}");
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("core.log")
    }

    pub fn issuer(&self) -> &str {
        &self.vars["ISSUER_URL"]
    }

    pub fn vars(&self) -> &HashMap<String, String> {
        &self.vars
    }

    /// Registers an edge and starts it before an echo origin; answers with its URL.
    pub async fn start_edge(&mut self, resources: &[&Tenant], required_scopes: &str) -> String {
        let settings = self.edge_settings(resources, required_scopes).await;
        self.start_edge_with(&settings).await
    }

    /// What an edge is told that is registered and stands before an echo origin.
    pub async fn edge_settings(
        &self,
        resources: &[&Tenant],
        required_scopes: &str,
    ) -> EdgeSettings {
        let place = format!("place-{:08x}", rand::random::<u32>());
        let (registered, printed, why) = run(&["edge", "register", &place], &self.vars).await;
        assert!(registered, "{why}");
        let printed = read_env(&printed);
        secrets::keep_credential(&printed["EDGE_ID"], &printed["EDGE_SECRET"]);
        let origin = start_echo().await.unwrap();
        EdgeSettings {
            core_url: self.url.clone(),
            issuer: self.issuer().to_owned(),
            edge_id: printed["EDGE_ID"].clone(),
            edge_secret: printed["EDGE_SECRET"].clone(),
            resources: resources
                .iter()
                .map(|tenant| format!("{}:{}", tenant.org_id, tenant.resource))
                .collect::<Vec<_>>()
                .join(" "),
            origin_url: format!("http://{origin}"),
            required_scopes: required_scopes.to_owned(),
            more: Vec::new(),
            port: free_port(),
        }
    }

    pub async fn start_edge_with(&mut self, settings: &EdgeSettings) -> String {
        self.start_edge_from(&root().join("edge/node_modules"), settings)
            .await
    }

    /// With the workerd that is among `packages`.
    pub async fn start_edge_from(&mut self, packages: &Path, settings: &EdgeSettings) -> String {
        let files = EdgeFiles::find(&root().join("target/edge-bundle"), packages).unwrap();
        let objects = self.folder.join("objects");
        std::fs::create_dir_all(&objects).unwrap();
        self.edge = Some(Edge::start(&files, settings, &objects).await.unwrap());
        format!("http://127.0.0.1:{}", settings.port)
    }

    /// So many isolates of one place, in one workerd; answers with where each is.
    pub async fn start_isolates(
        &mut self,
        isolates: usize,
        resources: &[&Tenant],
    ) -> Vec<SocketAddr> {
        let settings = self.edge_settings(resources, "").await;
        let others: Vec<u16> = (1..isolates).map(|_| free_port()).collect();
        let packages = root().join("edge/node_modules");
        let files = EdgeFiles::find(&root().join("target/edge-bundle"), &packages).unwrap();
        let bundle = self.folder.join("isolates");
        std::fs::create_dir_all(&bundle).unwrap();
        let files = files.with_isolates(&others, &bundle).unwrap();
        let objects = self.folder.join("objects");
        std::fs::create_dir_all(&objects).unwrap();
        self.edge = Some(Edge::start(&files, &settings, &objects).await.unwrap());
        let ports = std::iter::once(settings.port).chain(others);
        ports
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect()
    }

    /// Another place beside the first: a workerd and objects of its own. Whoever starts
    /// it stops it.
    pub async fn another_place(&self, settings: &EdgeSettings) -> (Edge, String) {
        let packages = root().join("edge/node_modules");
        let files = EdgeFiles::find(&root().join("target/edge-bundle"), &packages).unwrap();
        let objects = self.folder.join(&settings.edge_id).join("objects");
        std::fs::create_dir_all(&objects).unwrap();
        let edge = Edge::start(&files, settings, &objects).await.unwrap();
        (edge, format!("http://127.0.0.1:{}", settings.port))
    }

    /// How many audit events there are of `action`.
    pub async fn events(&self, action: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE action = $1")
            .bind(action)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Stops everything, finds no secret in any log, and removes what was made.
    pub async fn stop(mut self) {
        if let Some(edge) = self.edge.take() {
            edge.stop().await;
        }
        if let Some(core) = self.core.take() {
            core.stop().await;
        }
        let found = secrets::found_in(&self.folder);
        assert!(found.is_empty(), "secrets in the log: {found:?}");
        self.pool.close().await;
        let mut server = url::Url::parse(&self.vars["DATABASE_URL"]).unwrap();
        server.set_path("postgres");
        let server = PgPool::connect(server.as_str()).await.unwrap();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        sqlx::query(sqlx::AssertSqlSafe(drop))
            .execute(&server)
            .await
            .unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The status of `GET url` with a bearer token.
pub async fn status_at(deployment: &Deployment, url: &str, token: &str) -> StatusCode {
    deployment
        .http
        .get(url)
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .status()
}

/// Sends bytes as they are; answers with the status and the body.
pub async fn raw(url: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // An answer on a connection that stays open is over when nothing comes.
    let _ = tokio::time::timeout(Duration::from_millis(700), read).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map_or("", |(_, body)| body)
        .to_owned();
    (
        status.unwrap_or_else(|| panic!("no answer: {answer:?}")),
        body,
    )
}
