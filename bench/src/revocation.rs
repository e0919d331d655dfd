//! From the answer of `/token/revoke` to the last request that is admitted, through
//! one and through eight isolates, at a steady pace of requests with the token.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use agentidp_core::dev::{Edge, EdgeFiles, EdgeSettings};
use agentidp_edge_conformance::pace::{Pace, last_admitted};

use crate::http::{Client, ask, post_form};
use crate::load::quantile_of;
use crate::plan::Plan;
use crate::service::{self, RESOURCE, Service, TOKEN_PATH};
use crate::stores::Folder;
use crate::verify::Alg;
use crate::{Outcome, bundle, ports, say};

/// How many isolates of one place.
const ISOLATES: [usize; 2] = [1, 8];
/// Connections in all.
const CONNECTIONS: usize = 16;
/// Requests a second in all.
const A_SECOND: u32 = 1_000;
/// Before the revocation, and after its answer. The first is no multiple of what
/// the edge waits between two questions, and differs each time.
const BEFORE: Duration = Duration::from_millis(500);
const LATER_EACH_TIME: Duration = Duration::from_millis(83);
const AFTER: Duration = Duration::from_millis(2_500);

/// A row: milliseconds, over all revocations and isolates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) isolates: usize,
    pub(crate) revocations: usize,
    pub(crate) a_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) largest_ms: f64,
}

/// Measures both, with tokens from the service, whose `jti`s are added.
pub(crate) async fn measure(
    plan: &Plan,
    service: &Service,
    folder: &Folder,
    jtis: &mut HashSet<String>,
) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for isolates in ISOLATES {
        let (edge, addresses) = start(service, folder, isolates).await?;
        let (mut times_ms, mut sent, mut seconds) = (Vec::new(), 0, 0.0);
        for number in 0..plan.revocations {
            let begun = Instant::now();
            let before = BEFORE + LATER_EACH_TIME * u32::try_from(number % 6)?;
            let (times, requests) = one(service, &addresses, before, jtis).await?;
            seconds += begun.elapsed().as_secs_f64();
            sent += requests;
            times_ms.extend(times.iter().map(|time| time.as_secs_f64() * 1e3));
        }
        edge.stop().await;
        times_ms.sort_by(f64::total_cmp);
        let row = Row {
            isolates,
            revocations: plan.revocations,
            a_second: sent as f64 / seconds,
            p50_ms: quantile_of(&times_ms, 500),
            p99_ms: quantile_of(&times_ms, 990),
            largest_ms: quantile_of(&times_ms, 1000),
        };
        say(format!("  {row:.0?}"));
        rows.push(row);
    }
    Ok(rows)
}

/// One revocation: how long each isolate still admitted, and how many requests
/// there were.
async fn one(
    service: &Service,
    edges: &[SocketAddr],
    before: Duration,
    jtis: &mut HashSet<String>,
) -> Outcome<(Vec<Duration>, usize)> {
    let agent = service.agents.first().ok_or("there is no agent")?;
    let token = token(service, agent, jtis).await?;
    let pace = Pace::start(
        edges,
        CONNECTIONS / edges.len(),
        "/verify",
        &token,
        A_SECOND,
    );
    tokio::time::sleep(before).await;
    let sent = Instant::now();
    revoke(service, agent, &token).await?;
    let answered = Instant::now();
    tokio::time::sleep(AFTER).await;
    let seen = pace.stop().await?;
    if let Some(strange) = seen
        .iter()
        .find(|seen| !matches!(seen.status, Some(200 | 401)))
    {
        return Err(format!("an answer that should not be: {strange:?}").into());
    }
    for edge in 0..edges.len() {
        let mut of_it = seen.iter().filter(|seen| seen.edge == edge);
        let served = of_it
            .clone()
            .any(|seen| seen.admitted() && seen.sent < sent);
        let refuses = of_it.next_back().is_some_and(|seen| !seen.admitted());
        if !served || !refuses {
            return Err(format!("isolate {edge} did not serve, or does not refuse").into());
        }
    }
    Ok((last_admitted(&seen, edges.len(), answered), seen.len()))
}

/// Revokes a token as its client.
pub(crate) async fn revoke(service: &Service, agent: &Client, token: &str) -> Outcome<()> {
    let request = post_form(
        &format!("{TOKEN_PATH}/revoke"),
        agent,
        &format!("token={token}"),
    );
    match ask(ports::at(service.port), &request).await? {
        (200, _) => Ok(()),
        (status, _) => Err(format!("a revocation was answered with {status}").into()),
    }
}

/// A new token of the agent's, verified.
pub(crate) async fn token(
    service: &Service,
    agent: &Client,
    jtis: &mut HashSet<String>,
) -> Outcome<String> {
    let request = post_form(TOKEN_PATH, agent, &service::form(RESOURCE));
    let begun = Now::read().s();
    let (status, body) = ask(ports::at(service.port), &request).await?;
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let token = service::text(&answer, "access_token");
    let token = token.map_err(|_| format!("no token was answered, but {status}"))?;
    let issuance = service.issuance(Alg::EdDSA).await?;
    let identity = issuance.verify(&token, &agent.id, (begun, Now::read().s()))?;
    jtis.insert(identity.jti);
    Ok(token)
}

/// An edge of so many isolates, in one workerd, each with its own port.
async fn start(
    service: &Service,
    folder: &Folder,
    isolates: usize,
) -> Outcome<(Edge, Vec<SocketAddr>)> {
    let place = format!("isolates-{isolates}");
    let printed = service::run(&["edge", "register", &place], service.vars()).await?;
    let settings = EdgeSettings {
        core_url: service.url(),
        issuer: service.url(),
        edge_id: service::printed_value(&printed, "EDGE_ID")?,
        edge_secret: service::printed_value(&printed, "EDGE_SECRET")?,
        resources: format!("{}:{RESOURCE}", service.org_id),
        port: ports::free()?,
        ..EdgeSettings::default()
    };
    let others = (1..isolates).map(|_| ports::free());
    let others = others.collect::<Outcome<Vec<u16>>>()?;
    let place = folder.path().join(&place);
    let (files, objects) = (place.join("files"), place.join("objects"));
    std::fs::create_dir_all(&files)?;
    std::fs::create_dir_all(&objects)?;
    let bundle = bundle::target()?.join("edge-bundle");
    let bundle = EdgeFiles::find(&bundle, Path::new("edge/node_modules"))?;
    let bundle = bundle.with_isolates(&others, &files)?;
    let edge = Edge::start(&bundle, &settings, &objects).await?;
    let all = std::iter::once(settings.port).chain(others);
    Ok((edge, all.map(ports::at).collect()))
}
