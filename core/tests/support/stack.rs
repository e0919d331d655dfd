//! The services of `compose.yaml` as processes of this machine. Commands, settings
//! and health checks are the file's; only places are mapped: hosts and ports to
//! loopback's free ones, the images' folders to the repository's.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agentidp_core::dev::Child;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::process::Command;

use super::compose::{fill, yaml};
use super::{BINARY, free_port, new_database, read_env, root, run};

/// Who runs the images.
pub const USER: u32 = 1001;
/// A password that would need escapes in a URL and in a shell.
pub const PASSWORD: &str = "p@ss:w/ord #%?&'\"";

/// The stack: what is up, and where.
pub struct Stack {
    file: Value,
    /// What `.env` holds.
    pub vars: HashMap<String, String>,
    pub folder: PathBuf,
    database: String,
    pub postgres: (String, u16),
    redis: u16,
    pub app: u16,
    pub edge: u16,
    running: HashMap<&'static str, Child>,
}

impl Stack {
    /// Follows the operations page: `.env.example`, a pair of keys, passwords.
    pub async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("agentidp-{:08x}", rand::random::<u32>()));
        for part in ["bin", "redis", "edge"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        // The images' user can neither read a home of root's nor what is built there.
        std::fs::copy(BINARY, folder.join("bin/agentidp")).unwrap();
        for open in ["", "bin", "bin/agentidp"] {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(folder.join(open), mode).unwrap();
        }
        let example = std::fs::read_to_string(root().join(".env.example")).unwrap();
        let mut vars = read_env(&example);
        let (made, pair, why) = run(&["keys", "generate"], &HashMap::new()).await;
        assert!(made, "{why}");
        // As compose reads a quoted value.
        let unquoted =
            |(name, value): (String, String)| (name, value.trim_matches('"').replace("\\n", "\n"));
        vars.extend(read_env(&pair).into_iter().map(unquoted));

        let (database, url) = new_database().await;
        let url = url::Url::parse(&url).unwrap();
        vars.insert("POSTGRES_DB".into(), database.clone());
        vars.insert("POSTGRES_USER".into(), database.clone());
        vars.insert("POSTGRES_PASSWORD".into(), PASSWORD.into());
        let escaped = PASSWORD.replace('\'', "''");
        admin(format!("CREATE ROLE {database} LOGIN PASSWORD '{escaped}'")).await;
        admin(format!("ALTER DATABASE {database} OWNER TO {database}")).await;
        Self {
            file: yaml("compose.yaml").await,
            vars,
            folder,
            database,
            postgres: (
                url.host_str().unwrap().to_owned(),
                url.port().unwrap_or(5432),
            ),
            redis: free_port(),
            app: free_port(),
            edge: free_port(),
            running: HashMap::new(),
        }
    }

    /// A service as `.env` makes it.
    fn service(&self, name: &str) -> Value {
        fill(&self.file["services"][name], &self.vars).unwrap()
    }

    /// A text of the file, with this machine's places.
    fn here(&self, text: &str) -> String {
        let bundle = root().join("target/edge-bundle/workerd.capnp");
        let (host, port) = &self.postgres;
        let places = [
            ("postgres:5432", format!("{host}:{port}")),
            ("redis:6379", format!("127.0.0.1:{}", self.redis)),
            ("app:3000", format!("127.0.0.1:{}", self.app)),
            ("0.0.0.0:8787", format!("127.0.0.1:{}", self.edge)),
            ("127.0.0.1/8787", format!("127.0.0.1/{}", self.edge)),
            ("/edge/workerd.capnp", bundle.display().to_string()),
            (
                "/var/lib/edge",
                self.folder.join("edge").display().to_string(),
            ),
            ("0.0.0.0", "127.0.0.1".to_owned()),
        ];
        let change = |text: String, (there, here): &(&str, String)| text.replace(there, here);
        places.iter().fold(text.to_owned(), change)
    }

    /// A command in a service's container.
    fn command(&self, service: &str, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(words[1..].iter().map(|word| self.here(word)));
        command
            .current_dir(&self.folder)
            .env_clear()
            .kill_on_drop(true);
        let path = std::env::var("PATH").unwrap();
        let (bin, workerd) = (self.folder.join("bin"), workerd());
        let path = format!("{}:{}:{path}", bin.display(), workerd.display());
        command.env("PATH", path);
        let settings = self.service(service)["environment"].clone();
        for (name, value) in settings.as_object().into_iter().flatten() {
            command.env(name, self.here(value.as_str().unwrap()));
        }
        // Ports that the file leaves to the image's default, or to the container.
        command.env("PGPORT", self.postgres.1.to_string());
        match service {
            "app" => {
                command.env("PORT", self.app.to_string());
                if rustix::process::geteuid().is_root() {
                    command.uid(USER).gid(USER);
                }
            }
            "redis" if words[0] == "redis-cli" => {
                let words = &words[1..];
                command = Command::new("redis-cli");
                command.arg("-p").arg(self.redis.to_string()).args(words);
            }
            "redis" => {
                command.args(["--bind", "127.0.0.1", "--port", &self.redis.to_string()]);
                command.arg("--dir").arg(self.folder.join("redis"));
            }
            _ => {}
        }
        command
    }

    pub fn up(&mut self, service: &'static str) {
        let words = words(&self.service(service)["command"]);
        let command = self.command(service, &words);
        let child = Child::start(command, &self.log(service), Signal::TERM).unwrap();
        self.running.insert(service, child);
    }

    pub async fn down(&mut self, service: &str) {
        self.running.remove(service).unwrap().stop().await;
    }

    pub fn log(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}.log"))
    }

    pub fn said(&self, service: &str) -> String {
        std::fs::read_to_string(self.log(service)).unwrap_or_default()
    }

    /// What `docker compose exec` does: whether it went well, and what it said.
    pub async fn exec(&self, service: &str, line: &[&str]) -> (bool, String) {
        let words: Vec<_> = line.iter().map(|word| (*word).to_owned()).collect();
        let output = self.command(service, &words).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Runs the service's health check once, in the time that it may take.
    pub async fn is_healthy(&self, service: &str) -> bool {
        let check = &self.service(service)["healthcheck"];
        let (kind, rest) = check["test"].as_array().unwrap().split_first().unwrap();
        let words = match kind.as_str().unwrap() {
            "CMD" => words(&json!(rest)),
            _ => ["sh", "-c", rest[0].as_str().unwrap()]
                .map(str::to_owned)
                .to_vec(),
        };
        let seconds = check["timeout"].as_str().unwrap().trim_end_matches('s');
        let patience = Duration::from_secs(seconds.parse().unwrap());
        let mut command = self.command(service, &words);
        let outcome = tokio::time::timeout(patience, command.output()).await;
        outcome.is_ok_and(|output| output.unwrap().status.success())
    }

    pub async fn becomes_healthy(&self, service: &str) {
        let begun = Instant::now();
        while !self.is_healthy(service).await {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{service}: {}",
                self.said(service)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn clean(mut self) {
        for (_, child) in self.running.drain() {
            child.stop().await;
        }
        let database = &self.database;
        admin(format!("DROP DATABASE {database} WITH (FORCE)")).await;
        admin(format!("DROP ROLE {database}")).await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Where npm put workerd, which the image copies.
fn workerd() -> PathBuf {
    let scope = root().join("edge/node_modules/@cloudflare");
    let mut packages = std::fs::read_dir(scope).unwrap().flatten();
    let package = packages.find(|entry| entry.path().join("bin/workerd").exists());
    package.unwrap().path().join("bin")
}

/// A statement of the tests' server's owner.
async fn admin(statement: String) {
    let pool = PgPool::connect(&std::env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}
