//! A Redis of one journey's own, which may lose everything.

use std::path::PathBuf;
use std::time::Duration;

use agentidp_core::dev::Child;
use rustix::process::Signal;
use tokio::process::Command;

use super::free_port;

/// A Redis that keeps nothing on disk.
pub struct OwnRedis {
    port: u16,
    log: PathBuf,
    server: Option<Child>,
}

impl OwnRedis {
    pub async fn start() -> Self {
        let port = free_port();
        let mut redis = Self {
            port,
            log: std::env::temp_dir().join(format!("agentidp-redis-{port}.log")),
            server: None,
        };
        redis.begin().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Kills it, as a machine that goes away does, and starts an empty one at the
    /// same place.
    pub async fn lose_everything(&mut self) {
        self.server.take().unwrap().stop().await;
        self.begin().await;
    }

    pub async fn stop(mut self) {
        self.server.take().unwrap().stop().await;
        std::fs::remove_file(&self.log).unwrap();
    }

    async fn begin(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &self.port.to_string()]);
        command.current_dir(std::env::temp_dir());
        self.server = Some(Child::start(command, &self.log, Signal::KILL).unwrap());
        for _ in 0..400 {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            if stream.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}", std::fs::read_to_string(&self.log).unwrap());
    }
}
