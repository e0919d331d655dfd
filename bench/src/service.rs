//! `agentidp serve` as an operator runs it in production: a database of its own,
//! everything on, the log in a file. Limits are counted and never reached: the
//! tier's numbers are raised, not removed.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use agentidp_core::dev::Child;
use agentidp_core::keys;
use agentidp_verify::Algorithm;
use reqwest::multipart::Form;
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::cpu::Meter;
use crate::http::Client;
use crate::stores::{Folder, Stores};
use crate::tenant::Tenant;
use crate::verify::{Alg, Issuance, Keys};
use crate::{Outcome, cpu, ports};

/// The resource that the tokens are for.
pub(crate) const RESOURCE: &str = "https://api.bench.example";
/// What is asked for.
pub(crate) const SCOPE: &str = "files:read";
/// How long the tokens live, as the tiers have it.
pub(crate) const LIFETIME_S: u64 = 3600;
/// Where tokens are asked for.
pub(crate) const TOKEN_PATH: &str = "/api/v1/token";
/// How many agents the load is spread over.
const AGENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service with a tenant.
pub(crate) struct Service {
    pub(crate) pid: u32,
    pub(crate) port: u16,
    pub(crate) org_id: String,
    pub(crate) agents: Vec<Client>,
    pub(crate) database_url: String,
    vars: HashMap<String, String>,
    log: PathBuf,
    child: Option<Child>,
    http: reqwest::Client,
    pub(crate) operator: Client,
}

/// The service's binary, built beside this one.
pub(crate) fn binary() -> Outcome<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("agentidp");
    match path.exists() {
        true => Ok(path),
        false => Err("agentidp is not built: run `make bench`".into()),
    }
}

/// The form that asks for a token of a resource.
pub(crate) fn form(resource: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("scope", SCOPE)
        .append_pair("resource", resource)
        .finish()
}

impl Service {
    /// Migrates, bootstraps, serves, and makes a tenant with agents.
    pub(crate) async fn start(stores: &Stores, folder: &Folder, alg: Alg) -> Outcome<Self> {
        let name = format!("bench_{:08x}", rand::random::<u32>());
        let database_url = stores.database(&name).await?;
        let pair = keys::generate(match alg {
            Alg::EdDSA => Algorithm::EdDSA,
            Alg::ES256 => Algorithm::ES256,
        })?;
        let port = ports::free()?;
        let vars: HashMap<String, String> = [
            ("DATABASE_URL", database_url.clone()),
            ("REDIS_URL", stores.redis_url()),
            ("JWT_PRIVATE_KEY", pair.private),
            ("JWT_PUBLIC_KEY", pair.public),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("ISSUER_URL", format!("http://127.0.0.1:{port}")),
            ("APP_ENV", "production".to_owned()),
            // All the load comes from one address.
            ("ADDRESS_REQUESTS_PER_SECOND", "1000000".to_owned()),
            ("ADDRESS_BURST", "1000000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        run(&["migrate"], &vars).await?;
        raise_limits(&database_url).await?;
        let operator = read_client(&run(&["bootstrap"], &vars).await?, "AGENTIDP_OPERATOR_")?;
        let log = folder.path().join(format!("{name}.log"));
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let mut service = Self {
            pid: 0,
            port,
            org_id: String::new(),
            agents: Vec::new(),
            database_url,
            vars,
            log,
            child: None,
            http,
            operator,
        };
        service.serve().await?;
        let tenant = Tenant::make(&service, "Bench", RESOURCE, AGENTS, &[]).await?;
        service.org_id = tenant.org_id;
        service.agents = tenant.agents;
        Ok(service)
    }

    /// A token for the management API.
    pub(crate) async fn management_token(&self, client: &Client) -> Outcome<String> {
        let answer = self
            .http
            .post(format!("{}{TOKEN_PATH}", self.url()))
            .basic_auth(&client.id, Some(&client.secret))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await?;
        text(&answer.error_for_status()?.json().await?, "access_token")
    }

    /// `POST /api/v1/<path>`, which must succeed.
    pub(crate) async fn call(&self, token: &str, path: &str, body: Value) -> Outcome<Value> {
        let request = self.http.post(format!("{}/api/v1/{path}", self.url()));
        let answer = request.bearer_auth(token).json(&body).send().await?;
        let status = answer.status();
        let said = answer.text().await?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&said)?),
            false => Err(format!("POST {path}: {status}: {said}").into()),
        }
    }

    /// `PUT /api/v1/<path>` with a form: the status and what is said.
    pub(crate) async fn put(&self, token: &str, path: &str, form: Form) -> Outcome<(u16, Value)> {
        let request = self.http.put(format!("{}/api/v1/{path}", self.url()));
        let answer = request.bearer_auth(token).multipart(form).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables that it was started with.
    pub(crate) const fn vars(&self) -> &HashMap<String, String> {
        &self.vars
    }

    /// What its tokens must say, with the keys that it publishes.
    pub(crate) async fn issuance(&self, alg: Alg) -> Outcome<Issuance> {
        issuance(alg, &self.url(), "/.well-known/jwks.json").await
    }

    /// What it costs, with its stores.
    pub(crate) fn meters(&self, stores: &Stores) -> Vec<Meter> {
        [Meter::of(self.pid)]
            .into_iter()
            .chain(stores.meters())
            .collect()
    }

    /// The record must hold an event for every token that was answered, and no
    /// other; the month's counters must say the same.
    pub(crate) async fn check_record(
        &self,
        stores: &Stores,
        jtis: &HashSet<String>,
    ) -> Outcome<()> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        let recorded: Vec<String> = sqlx::query_scalar(
            "SELECT event_id::text FROM audit_events
              WHERE action = 'token.issued' AND org_id = $1::uuid AND details->>'audience' = $2",
        )
        .bind(&self.org_id)
        .bind(RESOURCE)
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        if recorded.len() != jtis.len() || !recorded.iter().all(|id| jtis.contains(id)) {
            let (events, tokens) = (recorded.len(), jtis.len());
            return Err(format!("{tokens} tokens were answered, and {events} are recorded").into());
        }
        let mut counted = 0;
        for agent in &self.agents {
            counted += stores.sum_of(&format!("monthly:{}:*", agent.id)).await?;
        }
        match counted == jtis.len() as u64 {
            true => Ok(()),
            false => {
                Err(format!("{} tokens were answered, and {counted} counted", jtis.len()).into())
            }
        }
    }

    /// Starts `agentidp serve`, stopped before, and waits until it listens.
    pub(crate) async fn serve(&mut self) -> Outcome<()> {
        let (mut child, pid) = cpu::started(async { self.spawn() }).await?;
        ports::wait(self.port, &mut child, &self.log).await?;
        self.pid = pid;
        self.child = Some(child);
        Ok(())
    }

    /// The process of `agentidp serve`, which does not listen yet.
    pub(crate) fn spawn(&self) -> Outcome<Child> {
        let mut command = Command::new(binary()?);
        command.arg("serve").env_clear().envs(&self.vars);
        Ok(Child::start(command, &self.log, Signal::TERM)?)
    }

    /// Stops it as an operator would; the tenant stays in the database.
    pub(crate) async fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            child.stop().await;
        }
    }
}

/// What the tokens of whoever is at `url` must say.
pub(crate) async fn issuance(alg: Alg, url: &str, jwks_path: &str) -> Outcome<Issuance> {
    let set = reqwest::get(format!("{url}{jwks_path}"))
        .await?
        .json()
        .await?;
    Ok(Issuance {
        keys: Keys::read(alg, &set)?,
        issuer: url.to_owned(),
        audience: RESOURCE.to_owned(),
        scope: SCOPE.to_owned(),
        lifetime_s: LIFETIME_S,
    })
}

/// Numbers that the run cannot spend. NULL would be no limit, and no counting.
async fn raise_limits(database_url: &str) -> Outcome<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    sqlx::query(
        "UPDATE tiers SET calls_per_day = 1000000000, tokens_per_day = 1000000000,
                          tokens_per_month = 1000000000, requests_per_minute = 1000000000
          WHERE tier = 'enterprise'",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection.close().await?)
}

/// Runs the binary to its end; answers with what it printed.
pub(crate) async fn run(arguments: &[&str], vars: &HashMap<String, String>) -> Outcome<String> {
    let mut command = Command::new(binary()?);
    command
        .args(arguments)
        .env_clear()
        .envs(vars)
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// Out of `<prefix>CLIENT_ID=` and `<prefix>CLIENT_SECRET=`.
fn read_client(printed: &str, prefix: &str) -> Outcome<Client> {
    Ok(Client {
        id: printed_value(printed, &format!("{prefix}CLIENT_ID"))?,
        secret: printed_value(printed, &format!("{prefix}CLIENT_SECRET"))?,
    })
}

/// The value of a line `NAME=value`.
pub(crate) fn printed_value(printed: &str, name: &str) -> Outcome<String> {
    let mut lines = printed.lines().filter_map(|line| line.split_once('='));
    let value = lines
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned());
    value.ok_or_else(|| format!("no {name} was printed").into())
}

pub(crate) fn client(value: &Value) -> Outcome<Client> {
    Ok(Client {
        id: text(value, "client_id")?,
        secret: text(value, "client_secret")?,
    })
}

pub(crate) fn text(value: &Value, name: &str) -> Outcome<String> {
    let found = value[name].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("no {name} in an answer").into())
}
