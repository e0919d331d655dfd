//! The core killed, frozen and slowed by five seconds, a minute each, while the
//! edge is under load at a path for each failure setting and its isolates begin
//! anew. A run in which anything was not as it must be is an error.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use agentidp_core::dev::{Edge, EdgeFiles, EdgeSettings, start_echo};
use agentidp_edge_conformance::outage::{Story, Summary};
use agentidp_edge_conformance::pace::Pace;
use agentidp_edge_conformance::slow::Slow;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};

use crate::http::{ask, get};
use crate::revocation::{revoke, token};
use crate::service::{self, RESOURCE, Service};
use crate::stores::{Folder, Stores};
use crate::verify::Alg;
use crate::{Outcome, bundle, ports, say};

/// How long the core is away, and when in it the isolates begin anew.
const LASTS: Duration = Duration::from_secs(60);
const RESTART_AFTER: Duration = Duration::from_secs(25);
/// Requests a second at each of four paths.
const A_SECOND: u32 = 100;
const CONNECTIONS: usize = 8;
/// How much the slow core is late.
const DELAY: Duration = Duration::from_secs(5);
/// Calls of a client in a minute.
const LIMIT: i32 = 4_000;
/// How long the edge may take to notice that the core is back.
const RECOVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
    Slow,
}

/// Goes through all three; says what came of each.
pub(crate) async fn run() -> Outcome<()> {
    let folder = Folder::temporary()?;
    let stores = Stores::start().await?;
    let mut service = Service::start(&stores, &folder, Alg::EdDSA).await?;
    limit(&service).await?;
    let proxy = Slow::before(ports::at(service.port)).await?;
    let place = folder.path().join("objects");
    std::fs::create_dir(&place)?;
    let (files, settings) = edge(&service, &proxy).await?;
    for fault in [Fault::Killed, Fault::Frozen, Fault::Slow] {
        let edge = Edge::start(&files, &settings, &place).await?;
        let start = || Edge::start(&files, &settings, &place);
        let (summary, recovery) =
            survive(fault, &mut service, &proxy, edge, settings.port, start).await?;
        let Summary {
            answers,
            most_in_a_window,
            longest,
            last_admitted,
            on_an_old_view,
        } = summary;
        say(format!(
            "{fault:?} for {} s: {answers} answers, the longest after {longest:.0?}; the revoked token admitted until {last_admitted:.0?} \
             after the answer; at most {most_in_a_window} of {LIMIT} in a window; {on_an_old_view} admitted on an old view by that \
             setting; admitted again {recovery:.0?} after",
            LASTS.as_secs(),
        ));
    }
    service.stop().await;
    stores.stop().await;
    Ok(())
}

async fn limit(service: &Service) -> Outcome<()> {
    let mut connection = PgConnection::connect(&service.database_url).await?;
    sqlx::query("UPDATE tiers SET requests_per_minute = $1 WHERE tier = 'enterprise'")
        .bind(LIMIT)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    // The service hears of it within a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    Ok(())
}

async fn edge(service: &Service, core: &Slow) -> Outcome<(EdgeFiles, EdgeSettings)> {
    let printed = service::run(&["edge", "register", "chaos"], service.vars()).await?;
    let origin = format!("http://{}", start_echo().await?);
    let routes = serde_json::json!([
        { "path": "/", "origin": origin },
        { "path": "/stale", "origin": origin, "when_core_is_away": { "admit_up_to_s": 60 } },
    ]);
    let settings = EdgeSettings {
        core_url: format!("http://{}", core.address),
        issuer: service.url(),
        edge_id: service::printed_value(&printed, "EDGE_ID")?,
        edge_secret: service::printed_value(&printed, "EDGE_SECRET")?,
        resources: format!("{}:{RESOURCE}", service.org_id),
        port: ports::free()?,
        more: vec![("ROUTES", routes.to_string())],
        ..EdgeSettings::default()
    };
    let bundle = bundle::target()?.join("edge-bundle");
    let files = EdgeFiles::find(&bundle, Path::new("edge/node_modules"))?;
    Ok((files, settings))
}

async fn survive<Starting>(
    fault: Fault,
    service: &mut Service,
    proxy: &Slow,
    mut edge: Edge,
    port: u16,
    start: impl Fn() -> Starting,
) -> Outcome<(Summary, Duration)>
where
    Starting: Future<Output = Result<Edge, agentidp_core::dev::DevError>>,
{
    let [one, other] = [0, 1].map(|agent| service.agents[agent].clone());
    let mut jtis = HashSet::new();
    let live = token(service, &one, &mut jtis).await?;
    let stale = token(service, &other, &mut jtis).await?;
    let doomed = token(service, &other, &mut jtis).await?;
    let at = [ports::at(port)];
    let pace = |path, token| Pace::start(&at, CONNECTIONS, path, token, A_SECOND);
    let paces = [
        pace("/x", &live),
        pace("/stale/x", &stale),
        pace("/x", &doomed),
        pace("/stale/x", &doomed),
    ];
    tokio::time::sleep(Duration::from_millis(700)).await;
    revoke(service, &other, &doomed).await?;
    let answered = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    match fault {
        Fault::Killed => {
            signal(service.pid, Signal::KILL)?;
            service.stop().await;
        }
        Fault::Frozen => signal(service.pid, Signal::STOP)?,
        Fault::Slow => proxy.delay(DELAY),
    }
    let begun = Instant::now();
    tokio::time::sleep(RESTART_AFTER).await;
    let gone = Instant::now();
    signal(edge.id().ok_or("the edge has ended")?, Signal::KILL)?;
    edge.ended().await;
    edge = start().await?;
    let restart = (gone, Instant::now());
    tokio::time::sleep(LASTS.saturating_sub(begun.elapsed())).await;
    let over = Instant::now();
    match fault {
        Fault::Killed => service.serve().await?,
        Fault::Frozen => signal(service.pid, Signal::CONT)?,
        Fault::Slow => proxy.delay(Duration::ZERO),
    }
    let recovery = recovered(port, &live).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut seen = Vec::new();
    for pace in paces {
        seen.push(pace.stop().await?);
    }
    edge.stop().await;
    let [live, stale, revoked, revoked_stale] =
        <[_; 4]>::try_from(seen).map_err(|_| "not four paces")?;
    let story = Story {
        live,
        stale,
        revoked: [revoked, revoked_stale],
        answered,
        away: (begun, over),
        restart,
        limit: LIMIT.unsigned_abs() as usize,
    };
    let summary = story.check().map_err(|why| format!("{fault:?}: {why}"))?;
    Ok((summary, recovery))
}

/// How long it takes until a call is admitted again, or its limit is known again.
async fn recovered(port: u16, token: &str) -> Outcome<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < RECOVERY {
        if let Ok((200 | 429, _)) = ask(ports::at(port), &get("/x", token)).await {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Err("the edge does not recover".into())
}

fn signal(id: u32, signal: Signal) -> Outcome<()> {
    let id = Pid::from_raw(id.cast_signed()).ok_or("no process")?;
    Ok(kill_process(id, signal)?)
}
