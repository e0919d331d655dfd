//! A real Postgres, with fsync on, and a real Redis, private to the run: on free
//! ports of loopback, in a folder that goes with them.

use std::path::{Path, PathBuf};

use agentidp_core::dev::Child;
use agentidp_core::dev::postgres::{Home, Postgres};
use rustix::process::Signal;
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::cpu::Meter;
use crate::{Outcome, cpu, ports};

/// A folder that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one among the system's temporary files.
    pub(crate) fn temporary() -> Outcome<Self> {
        let name = format!("agentidp-bench-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Both stores, running.
pub(crate) struct Stores {
    postgres: Postgres,
    postgres_pid: u32,
    redis: Child,
    redis_pid: u32,
    redis_port: u16,
    // Last: what runs in it has ended before.
    _folder: Folder,
}

impl Stores {
    pub(crate) async fn start() -> Outcome<Self> {
        let home = Home::temporary()?;
        let folder = Folder(home.path().to_owned());
        let postgres = Postgres::start(&home).await?;
        let pid = std::fs::read_to_string(home.path().join("data/postmaster.pid"))?;
        let postgres_pid = pid.lines().next().unwrap_or_default().parse()?;

        let redis_port = ports::free()?;
        let log = home.path().join("redis.log");
        let mut redis = Command::new("redis-server");
        redis
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--port")
            .arg(redis_port.to_string())
            .arg("--dir")
            .arg(home.path());
        let start = async { Ok(Child::start(redis, &log, Signal::TERM)?) };
        let (mut redis, redis_pid) = cpu::started(start).await?;
        ports::wait(redis_port, &mut redis, &log).await?;
        Ok(Self {
            postgres,
            postgres_pid,
            redis,
            redis_pid,
            redis_port,
            _folder: folder,
        })
    }

    /// A new, empty database, and the URL of it.
    pub(crate) async fn database(&self, name: &str) -> Outcome<String> {
        let mut connection = PgConnection::connect(self.postgres.url()).await?;
        let create = format!("CREATE DATABASE {name}");
        sqlx::query(sqlx::AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let mut url: url::Url = self.postgres.url().parse()?;
        url.set_path(name);
        Ok(url.into())
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    /// What both cost: Postgres with all its backends, then Redis.
    pub(crate) const fn meters(&self) -> [Meter; 2] {
        [
            Meter::with_children(self.postgres_pid),
            Meter::of(self.redis_pid),
        ]
    }

    /// The sum of the integers under keys that match a pattern of Redis.
    pub(crate) async fn sum_of(&self, pattern: &str) -> Outcome<u64> {
        let script = "local sum = 0 for _, key in ipairs(redis.call('keys', ARGV[1])) do \
                      sum = sum + redis.call('get', key) end return sum";
        let mut stream = TcpStream::connect(ports::at(self.redis_port)).await?;
        let mut command = String::from("*4\r\n");
        for word in ["EVAL", script, "0", pattern] {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(command.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        let answer = String::from_utf8(answer)?;
        let number = answer.trim_end().strip_prefix(':');
        Ok(number
            .ok_or_else(|| format!("Redis said {answer:?}"))?
            .parse()?)
    }

    /// The versions of both.
    pub(crate) async fn versions(&self) -> Outcome<String> {
        let mut connection = PgConnection::connect(self.postgres.url()).await?;
        let postgres: String = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        let postgres = postgres.split_whitespace().next().unwrap_or_default();
        let redis = Command::new("redis-server")
            .arg("--version")
            .output()
            .await?;
        let redis = String::from_utf8(redis.stdout)?;
        let redis = redis
            .split("v=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next());
        let redis = redis.unwrap_or_default();
        Ok(format!("PostgreSQL {postgres} (fsync on), Redis {redis}"))
    }

    pub(crate) async fn stop(self) {
        self.redis.stop().await;
        self.postgres.stop().await;
    }
}
