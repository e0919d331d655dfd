//! What a decision takes: of a tier's module, whose instance is used again, of a
//! tenant's, which gets a fresh one each time, and of Cedar and Rego on policies
//! that say the same. They take turns, each in one thread, and each answers the same
//! questions, whose answers are looked at every time.

use std::pin::pin;
use std::process::Stdio;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use agentidp_core::config::{DatabaseUrl, Pem};
use agentidp_core::database::Database;
use agentidp_core::limits::Used;
use agentidp_core::policy::{Allowed, InForce, Policies, Question, Verdict, Version};
use agentidp_core::tenants::Tier;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::load::median;
use crate::plan::Plan;
use crate::service::{self, LIFETIME_S, RESOURCE, Service};
use crate::timing::{Case, Timed, time};
use crate::{Outcome, bundle, modules, say};

/// In the order of the table.
const CONTENDERS: [(Policy, Who); 6] = [
    (Policy::AllowAll, Who::Module),
    (Policy::AllowAll, Who::Cedar),
    (Policy::AllowAll, Who::Rego),
    (Policy::ScopesByLabel, Who::Module),
    (Policy::ScopesByLabel, Who::Cedar),
    (Policy::ScopesByLabel, Who::Rego),
];

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The module of the tier `pro`: what was asked for.
    AllowAll,
    /// A tenant's: `policies/examples/scopes-by-label`.
    ScopesByLabel,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Module,
    Cedar,
    Rego,
}

/// A row: the medians of the rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) policy: Policy,
    pub(crate) who: Who,
    pub(crate) timed: Timed,
}

/// The settings of `scopes-by-label`; the peers' policies have the same in them.
pub(crate) fn settings() -> Value {
    json!({ "files:read": "reader, writer", "files:write": "writer", "mail:send": "*", "*": "trusted" })
}

fn cases(policy: Policy) -> Vec<Case> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    [
        ("reader", "files:read files:write", "files:read"),
        ("writer", "files:read files:write", "files:read files:write"),
        ("", "files:read files:write", ""),
        ("trusted", "files:read calendar:read", "calendar:read"),
        ("other", "mail:send", "mail:send"),
        ("Writer", "files:write", ""),
    ]
    .map(|(labels, scopes, granted)| Case {
        labels: words(labels),
        scopes: words(scopes),
        granted: words(match policy {
            Policy::AllowAll => scopes,
            Policy::ScopesByLabel => granted,
        }),
    })
    .into()
}

/// The service's own sandbox, in this process.
struct Sandbox {
    database: Database,
    policies: Policies,
    tier: Tier,
    version: Version,
}

/// Measures with the database of a service.
pub(crate) async fn measure(plan: &Plan, service: &Service) -> Outcome<Vec<Row>> {
    let sandbox = Sandbox::start(service).await?;
    let mut rounds: [Vec<Timed>; CONTENDERS.len()] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..CONTENDERS.len() {
            // Another one begins in each round.
            let index = (round + turn) % CONTENDERS.len();
            let (policy, who) = CONTENDERS[index];
            let timed = match who {
                Who::Module => sandbox.time(policy, plan.measured).await,
                peer => ask_peer(peer, policy, plan.measured).await,
            };
            let timed = timed.map_err(|why| format!("{policy:?} by {who:?}: {why}"))?;
            rounds[index].push(timed);
        }
    }
    sandbox.database.close().await;
    let rows = CONTENDERS.iter().zip(&rounds).map(|((policy, who), all)| {
        let of = |figure: fn(&Timed) -> f64| median(all.iter().map(figure));
        let timed = Timed {
            decisions: all.iter().map(|timed| timed.decisions).sum(),
            p50_us: of(|timed| timed.p50_us),
            p99_us: of(|timed| timed.p99_us),
            cpu_us: of(|timed| timed.cpu_us),
        };
        say(format!("  {policy:?} by {who:?}: {timed:.2?}"));
        let (policy, who) = (*policy, *who);
        Row { policy, who, timed }
    });
    Ok(rows.collect())
}

impl Sandbox {
    async fn start(service: &Service) -> Outcome<Self> {
        let key = service.vars()["JWT_PRIVATE_KEY"].clone();
        let policies = Policies::start(&Pem::from(key), service::binary()?)?;
        let url = DatabaseUrl::from(service.database_url.clone());
        let database = Database::connect(&url, 2).await?;
        let mut connection = PgConnection::connect(&service.database_url).await?;
        let of_tier = sqlx::query_scalar("SELECT module_digest FROM tiers WHERE tier = 'pro'");
        let of_tier: String = of_tier.fetch_one(&mut connection).await?;
        let module = modules::example("scopes-by-label")?;
        let module_digest = hex(digest(&SHA256, &module).as_ref());
        sqlx::query(
            "INSERT INTO policy_modules (digest, component, built_in, created_at)
             VALUES ($1, $2, false, now()) ON CONFLICT DO NOTHING",
        )
        .bind(&module_digest)
        .bind(&module)
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        let settings = settings();
        let settings = settings.as_object().into_iter().flatten();
        Ok(Self {
            database,
            policies,
            tier: Tier {
                module_digest: Some(of_tier),
                ..Tier::example()
            },
            version: Version {
                digest: module_digest.clone(),
                module_digest,
                settings: settings
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into()))
                    .collect(),
                claims: Vec::new(),
            },
        })
    }

    async fn time(&self, policy: Policy, measured: Duration) -> Outcome<Timed> {
        let cases = cases(policy);
        // The first time compiles or reads; after it nothing waits.
        self.decide(policy, &cases[0]).await?;
        time(measured, &cases, |case| at_once(self.decide(policy, case))?)
    }

    /// As an issuance does it.
    async fn decide(&self, policy: Policy, case: &Case) -> Outcome<Vec<String>> {
        let question = question(case);
        let verdict = match policy {
            Policy::AllowAll => {
                let none = InForce::default();
                let decided = self
                    .policies
                    .decide(&self.database, &question, &self.tier, &none);
                decided.await?.tier
            }
            Policy::ScopesByLabel => {
                let left = Allowed {
                    scopes: case.scopes.clone(),
                    lifetime_s: LIFETIME_S,
                    requests_per_minute: None,
                    claims: Default::default(),
                };
                let asked =
                    self.policies
                        .ask_tenant(&self.database, &question, &left, &self.version);
                asked.await?
            }
        };
        granted(verdict)
    }
}

/// The scopes; none where the module said no, and an error where it said nothing.
fn granted(verdict: Verdict) -> Outcome<Vec<String>> {
    if verdict.failed() {
        return Err(format!("the module failed: {verdict:?}").into());
    }
    let allowed = verdict.allowed();
    Ok(allowed.map_or_else(Vec::new, |allowed| allowed.scopes.clone()))
}

fn question(case: &Case) -> Question {
    let used = Used {
        used: 1,
        limit: None,
    };
    Question {
        agent_id: "01900000-0000-7000-8000-000000000001".to_owned(),
        agent_type: "worker".to_owned(),
        deployment_env: "production".to_owned(),
        capabilities: case.labels.clone(),
        org_id: "01900000-0000-7000-8000-000000000002".to_owned(),
        tier: "pro".to_owned(),
        audience: RESOURCE.to_owned(),
        scopes: case.scopes.clone(),
        now: 1_800_000_000,
        tokens_today: used,
        tokens_this_month: used,
    }
}

/// What is there without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Outcome<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("a decision had to wait".into()),
    }
}

/// `policy-peers`, for one turn.
async fn ask_peer(peer: Who, policy: Policy, measured: Duration) -> Outcome<Timed> {
    let program = bundle::target()?.join("policy-peers/release/policy-peers");
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| format!("policy-peers is not built: run `make bench`: {why}"))?;
    let task = json!({
        "peer": match peer {
            Who::Rego => "rego",
            _ => "cedar",
        },
        "policy": match policy {
            Policy::AllowAll => "allow-all",
            Policy::ScopesByLabel => "scopes-by-label",
        },
        "measured_ms": u64::try_from(measured.as_millis())?,
        "cases": cases(policy),
    });
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(task.to_string().as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
