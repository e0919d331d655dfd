//! The edge in workerd before an echo origin, beside Workers that do nothing and
//! Workers that verify with npm's packages, all at 32 connections, in rounds that
//! take turns.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agentidp_core::clock::Now;
use agentidp_core::dev::{Edge, EdgeFiles, EdgeSettings, start_echo};

use crate::check::Identity;
use crate::cpu::Meter;
use crate::http::{get, post_form};
use crate::load::{Check, Load, Measured, Requests, SHORTEST, median_of};
use crate::mint::Mint;
use crate::plan::Plan;
use crate::service::{self, LIFETIME_S, RESOURCE, SCOPE, Service, TOKEN_PATH};
use crate::stores::Folder;
use crate::verify::{Alg, Issuance};
use crate::workers::Worker;
use crate::{Outcome, bundle, check, cpu, ports, say};

const CONNECTIONS: usize = 32;
/// What is forwarded.
const FORWARDED: &str = "/files/1";

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    EmptyRust,
    EmptyScript,
    Warm,
    Unseen,
    Forwarded,
    Jose,
    Tsndr,
}

/// A row: the medians of the rounds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: What,
    pub(crate) measured: Measured,
}

/// Somebody to ask.
struct Contender {
    what: What,
    address: SocketAddr,
    path: &'static str,
    meter: Meter,
    check: Arc<Check>,
    tokens: Vec<String>,
}

/// Tokens, and whom they are of.
struct Tokens {
    texts: Vec<String>,
    identities: Vec<Identity>,
}

/// Measures all of them, with tokens from the service, whose `jti`s are added.
pub(crate) async fn measure(
    plan: &Plan,
    service: &Service,
    folder: &Folder,
    jtis: &mut HashSet<String>,
) -> Outcome<Vec<Row>> {
    let issuance = service.issuance(Alg::EdDSA).await?;
    let warm = tokens(service, &issuance, CONNECTIONS, jtis).await?;
    let jwks: serde_json::Value = reqwest::get(format!("{}/.well-known/jwks.json", service.url()))
        .await?
        .json()
        .await?;
    let (edge, edge_pid, edge_port) = start_edge(service, folder).await?;
    let empty_rust = Worker::empty_rust(folder).await?;
    let empty_script = Worker::script("empty", None, &[], folder).await?;
    let key = jwks["keys"][0].to_string();
    let variables = [
        ("JWK", key.as_str()),
        ("ALG", Alg::EdDSA.name()),
        ("ISSUER", &issuance.issuer),
        ("AUDIENCE", RESOURCE),
    ];
    let jose = Worker::script("jose", Some("jose/dist/webapi"), &variables, folder).await?;
    let (tsndr, es256) = start_tsndr(&service.agents[0].id, folder).await?;

    let contender = |what, path, worker: (u32, u16), check, tokens: &Tokens| Contender {
        what,
        address: ports::at(worker.1),
        path,
        meter: Meter::of(worker.0),
        check,
        tokens: tokens.texts.clone(),
    };
    let claims = || check::claims(warm.identities.clone());
    let forwarded = check::forwarded(FORWARDED, warm.identities.clone());
    let of_es256 = check::claims(es256.identities.clone());
    let edge_at = (edge_pid, edge_port);
    let at = |worker: &Worker| (worker.pid, worker.port);
    let nothing = check::nothing;
    let contenders = [
        contender(
            What::EmptyRust,
            "/verify",
            at(&empty_rust),
            nothing(),
            &warm,
        ),
        contender(
            What::EmptyScript,
            "/verify",
            at(&empty_script),
            nothing(),
            &warm,
        ),
        contender(What::Warm, "/verify", edge_at, claims(), &warm),
        contender(What::Unseen, "/verify", edge_at, claims(), &warm),
        contender(What::Forwarded, FORWARDED, edge_at, forwarded, &warm),
        contender(What::Jose, "/verify", at(&jose), claims(), &warm),
        contender(What::Tsndr, "/verify", at(&tsndr), of_es256, &es256),
    ];
    for contender in &contenders {
        contender.repeat(plan.settle, SHORTEST).await?;
    }
    let mut rounds: [Vec<Measured>; 7] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let contender = &contenders[index];
            let measured = match contender.what {
                What::Unseen => {
                    let unseen = tokens(service, &issuance, plan.unseen, jtis).await?;
                    contender.repeat(plan.warm_up, SHORTEST).await?;
                    contender.once(plan, unseen).await?
                }
                _ => contender.repeat(plan.warm_up, plan.measured).await?,
            };
            rounds[index].push(measured);
        }
    }
    edge.stop().await;
    for worker in [empty_rust, empty_script, jose, tsndr] {
        worker.stop().await;
    }
    let rows = contenders.iter().zip(&rounds).map(|(contender, rounds)| {
        let (what, measured) = (contender.what, median_of(rounds));
        let (a_second, cpu_us) = (measured.a_second, &measured.cpu_us);
        say(format!("  {what:?}: {a_second:.0}/s, CPU-µs {cpu_us:.1?}"));
        Row { what, measured }
    });
    Ok(rows.collect())
}

impl Contender {
    /// Tokens that it has seen, a connection each.
    async fn repeat(&self, warm_up: Duration, measured: Duration) -> Outcome<Measured> {
        let requests = self
            .tokens
            .iter()
            .map(|token| get(self.path, token))
            .collect();
        let requests = Requests::Repeated(Arc::new(requests));
        self.load(requests, warm_up, measured, Arc::clone(&self.check))
            .await
    }

    /// Tokens that it has not seen, each once.
    async fn once(&self, plan: &Plan, unseen: Tokens) -> Outcome<Measured> {
        let requests = unseen
            .texts
            .iter()
            .map(|token| get(self.path, token))
            .collect();
        let requests = Requests::Once(Arc::new(requests));
        let check = check::claims(unseen.identities);
        self.load(requests, Duration::ZERO, plan.patience, check)
            .await
    }

    async fn load(
        &self,
        requests: Requests,
        warm_up: Duration,
        measured: Duration,
        check: Arc<Check>,
    ) -> Outcome<Measured> {
        let load = Load {
            address: self.address,
            connections: CONNECTIONS,
            requests,
            warm_up,
            measured,
            check,
            meters: vec![self.meter],
        };
        let result = load.run().await;
        let (measured, _) = result.map_err(|why| format!("{:?} on workerd: {why}", self.what))?;
        Ok(measured)
    }
}

/// So many new tokens of the service's agents, verified.
async fn tokens(
    service: &Service,
    issuance: &Issuance,
    count: usize,
    jtis: &mut HashSet<String>,
) -> Outcome<Tokens> {
    let agents: Vec<_> = service.agents.iter().cycle().take(count).collect();
    let form = service::form(RESOURCE);
    let requests = agents
        .iter()
        .map(|agent| post_form(TOKEN_PATH, agent, &form));
    let load = Load {
        address: ports::at(service.port),
        connections: CONNECTIONS,
        requests: Requests::Once(Arc::new(requests.collect())),
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(60),
        check: check::token(SCOPE, LIFETIME_S),
        meters: Vec::new(),
    };
    let begun = Now::read().s();
    let (_, kept) = load.run().await?;
    let ids: Vec<String> = agents.iter().map(|agent| agent.id.clone()).collect();
    let identities = issuance.verify_all(&kept, &ids, (begun, Now::read().s()), jtis)?;
    let texts = kept.into_iter().map(|kept| kept.text).collect();
    Ok(Tokens { texts, identities })
}

/// The edge as `agentidp dev` starts it; its process and its port.
async fn start_edge(service: &Service, folder: &Folder) -> Outcome<(Edge, u32, u16)> {
    let printed = service::run(&["edge", "register", "bench"], service.vars()).await?;
    let origin = start_echo().await?;
    let settings = EdgeSettings {
        core_url: service.url(),
        issuer: service.url(),
        edge_id: service::printed_value(&printed, "EDGE_ID")?,
        edge_secret: service::printed_value(&printed, "EDGE_SECRET")?,
        resources: format!("{}:{RESOURCE}", service.org_id),
        origin_url: format!("http://{origin}"),
        required_scopes: String::new(),
        more: Vec::new(),
        port: ports::free()?,
    };
    let bundle = bundle::target()?.join("edge-bundle");
    let files = EdgeFiles::find(&bundle, Path::new("edge/node_modules"))?;
    let objects = folder.path().join("objects");
    std::fs::create_dir(&objects)?;
    let start = async { Ok(Edge::start(&files, &settings, &objects).await?) };
    let (edge, pid) = cpu::started(start).await?;
    Ok((edge, pid, settings.port))
}

/// It knows no EdDSA: its token is as large, and signed with ES256 here.
async fn start_tsndr(client_id: &str, folder: &Folder) -> Outcome<(Worker, Tokens)> {
    let issuer = "http://127.0.0.1:3000";
    let mint = Mint::new(Alg::ES256, issuer)?;
    let now = Now::read().s();
    let token = mint.token(client_id, RESOURCE, SCOPE, LIFETIME_S, now)?;
    let issuance = Issuance {
        keys: crate::verify::Keys::read(Alg::ES256, &mint.jwks())?,
        issuer: issuer.to_owned(),
        audience: RESOURCE.to_owned(),
        scope: SCOPE.to_owned(),
        lifetime_s: LIFETIME_S,
    };
    let identity = issuance.verify(&token, client_id, (now, now))?;
    let key = mint.jwks()["keys"][0].to_string();
    let variables = [
        ("JWK", key.as_str()),
        ("ALG", Alg::ES256.name()),
        ("ISSUER", issuer),
        ("AUDIENCE", RESOURCE),
    ];
    let package = Some("@tsndr/cloudflare-worker-jwt");
    let worker = Worker::script("tsndr", package, &variables, folder).await?;
    let tokens = Tokens {
        texts: vec![token],
        identities: vec![identity],
    };
    Ok((worker, tokens))
}
