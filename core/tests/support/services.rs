//! Runs a command with a real Postgres and a real Redis: those that DATABASE_URL
//! and REDIS_URL name, or private ones on free ports that end with the command.
//!
//! `cargo run --example services -- cargo nextest run`
#![allow(clippy::print_stderr, reason = "a command line talks to its user")]

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use agentidp_core::dev::Child;
use agentidp_core::dev::postgres::{Home, Postgres};
use rustix::process::Signal;
use tokio::process::Command;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let Some((program, arguments)) = arguments.split_first() else {
        eprintln!("usage: services COMMAND [ARGUMENT…]");
        return ExitCode::FAILURE;
    };
    match run(Command::new(program).args(arguments)).await {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &mut Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let home = Home::temporary()?;
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let postgres = match given("DATABASE_URL") {
        Some(_) => None,
        None => Some(Postgres::start(&home).await?),
    };
    if let Some(postgres) = &postgres {
        command.env("DATABASE_URL", postgres.url());
    }
    let redis = match given("REDIS_URL") {
        Some(_) => None,
        None => {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            command.env("REDIS_URL", format!("redis://127.0.0.1:{port}"));
            Some(start_redis(port, home.path()).await?)
        }
    };
    let status = command.status().await;
    if let Some(redis) = redis {
        redis.stop().await;
    }
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    std::fs::remove_dir_all(home.path())?;
    let code = status?
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}

async fn start_redis(port: u16, folder: &Path) -> Result<Child, Box<dyn std::error::Error>> {
    let mut redis = Command::new("redis-server");
    redis.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--port",
    ]);
    redis.arg(port.to_string()).arg("--dir").arg(folder);
    let mut redis = Child::start(redis, &folder.join("redis.log"), Signal::TERM)
        .map_err(|why| format!("{why}; install it: apt-get install redis-server"))?;
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            return Ok(redis);
        }
        if redis.has_ended() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    Err("redis-server does not start".into())
}
