//! A Postgres and a Redis of a test's own, which it may stop, freeze and start
//! again without disturbing anybody. Each keeps its port.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agentidp_core::dev::Child;
use agentidp_core::dev::postgres::{Home, Postgres};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use super::free_port;

/// How long a store may take to answer, a recovery after a crash included.
const READY_PATIENCE: Duration = Duration::from_secs(20);

pub struct Stores {
    pub postgres: Store,
    pub redis: Store,
    home: PathBuf,
}

/// A store that comes back where it was.
pub struct Store {
    /// What `DATABASE_URL` or `REDIS_URL` says.
    pub url: String,
    log: PathBuf,
    signal: Signal,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    child: Option<Child>,
    /// Listens in its place, and never answers.
    silence: Option<TcpListener>,
}

impl Stores {
    pub async fn start() -> Self {
        Self::start_in(Home::temporary().unwrap()).await
    }

    /// With all their files in `home`.
    pub async fn start_in(home: Home) -> Self {
        let folder = home.path().to_owned();
        Self {
            postgres: start_postgres(&home).await,
            redis: start_redis(folder.clone()).await,
            home: folder,
        }
    }

    /// The settings that lead a deployment to these stores.
    pub fn settings(&self) -> [(&'static str, &str); 2] {
        [
            ("DATABASE_URL", &self.postgres.url),
            ("REDIS_URL", &self.redis.url),
        ]
    }

    pub async fn stop(mut self) {
        self.redis.stop().await;
        self.postgres.stop().await;
        std::fs::remove_dir_all(self.home).unwrap();
    }
}

async fn start_postgres(home: &Home) -> Store {
    // This start makes the cluster; what follows runs its binaries.
    let first = Postgres::start(home).await.unwrap();
    let url = first.url().to_owned();
    first.stop().await;
    let port = url::Url::parse(&url).unwrap().port().unwrap();
    let folder = home.path().to_owned();
    let owner = std::fs::metadata(&folder).unwrap();
    let binaries = std::fs::read_to_string(folder.join("binaries")).unwrap();
    let log = folder.join("postgres.log");
    let command = move || {
        let mut command = Command::new(PathBuf::from(&binaries).join("postgres"));
        command.current_dir(&folder).arg("-D").arg("data");
        command.arg("-p").arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=200",
        ] {
            command.args(["-c", setting]);
        }
        if rustix::process::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    };
    Store::start_first(url, log, Signal::INT, Box::new(command)).await
}

async fn start_redis(folder: PathBuf) -> Store {
    let port = free_port();
    let log = folder.join("redis.log");
    let command = move || {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--port").arg(port.to_string());
        command.arg("--dir").arg(&folder);
        command
    };
    let url = format!("redis://127.0.0.1:{port}");
    Store::start_first(url, log, Signal::TERM, Box::new(command)).await
}

impl Store {
    async fn start_first(
        url: String,
        log: PathBuf,
        signal: Signal,
        command: Box<dyn Fn() -> Command + Send + Sync>,
    ) -> Self {
        let mut store = Self {
            url,
            log,
            signal,
            command,
            child: None,
            silence: None,
        };
        store.start().await;
        store
    }

    /// Starts it where it was, and waits until it answers.
    pub async fn start(&mut self) {
        self.silence = None;
        let child = Child::start((self.command)(), &self.log, self.signal).unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while !self.answers().await {
            assert!(
                begun.elapsed() < READY_PATIENCE && !self.has_ended(),
                "{} does not start: {}",
                self.url.split("://").next().unwrap(),
                std::fs::read_to_string(&self.log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answers(&self) -> bool {
        if self.url.starts_with("postgres") {
            return PgConnection::connect(&self.url).await.is_ok();
        }
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.is_ok()
    }

    /// Stops it as an operator would who waits for nobody.
    pub async fn stop(&mut self) {
        self.child.take().unwrap().stop().await;
    }

    /// Stops it, and lets whoever connects there wait, as a network does that has
    /// lost it.
    pub async fn fall_silent(&mut self) {
        self.stop().await;
        let port = url::Url::parse(&self.url).unwrap().port().unwrap();
        self.silence = Some(TcpListener::bind(("127.0.0.1", port)).unwrap());
    }

    /// Whether it runs no longer, for whatever reason.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(Child::has_ended)
    }

    /// Stops it and all its processes where they are.
    pub fn freeze(&self) {
        // The first one first: it makes no others then.
        self.signal_all(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let Some(id) = self.child.as_ref().and_then(Child::id) else {
            return;
        };
        send(id, signal);
        for child in children_of(id) {
            send(child, signal);
        }
    }
}

/// A journey that fails leaves nothing frozen behind: what is frozen cannot end.
impl Drop for Store {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// Sends a process a signal.
pub fn send(id: u32, signal: Signal) {
    let id = Pid::from_raw(id.cast_signed()).unwrap();
    // One that has just ended needs none.
    let _ = kill_process(id, signal);
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in parentheses, and may hold anything.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}
