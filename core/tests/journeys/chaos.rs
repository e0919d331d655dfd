//! The core is killed, frozen or slow under load, and the edge's isolates begin
//! anew meanwhile. What was revoked stays refused, no limit is exceeded, everybody
//! is answered in time, and it all comes back by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agentidp_core::dev::{Edge, EdgeFiles, EdgeSettings};
use agentidp_edge_conformance::outage::Story;
use agentidp_edge_conformance::pace::Pace;
use agentidp_edge_conformance::slow::Slow;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::support::stores::send;
use crate::support::{Deployment, Tenant, root};

/// How long the core is away.
const LASTS: Duration = Duration::from_secs(6);
/// How long the edge may take to notice that the core is back.
const RECOVERY: Duration = Duration::from_secs(5);
/// Calls that the limited client has in a window.
const LIMIT: i32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    Slow,
}

/// An edge whose core is behind a proxy that can be slow.
struct Scene {
    deployment: Deployment,
    tenant: Tenant,
    proxy: Slow,
    files: EdgeFiles,
    settings: EdgeSettings,
    objects: PathBuf,
    edge: Option<Edge>,
}

impl Scene {
    async fn set() -> Self {
        let window = [("RATE_LIMIT_WINDOW_MS", "5000")];
        let deployment = Deployment::start_with(Algorithm::EdDSA, &window).await;
        let minute = "requests_per_minute";
        deployment.set_tier("pro", minute, Some(LIMIT)).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let tenant = deployment.tenant("pro").await;
        let core: SocketAddr = deployment
            .url
            .trim_start_matches("http://")
            .parse()
            .unwrap();
        let proxy = Slow::before(core).await.unwrap();
        let settings = deployment.edge_settings(&[&tenant], "").await;
        let origin = &settings.origin_url;
        let routes = json!([
            { "path": "/", "origin": origin },
            { "path": "/stale", "origin": origin, "when_core_is_away": { "admit_up_to_s": 60 } },
        ]);
        let mut settings = EdgeSettings {
            core_url: format!("http://{}", proxy.address),
            ..settings
        };
        settings.more.push(("ROUTES", routes.to_string()));
        let packages = root().join("edge/node_modules");
        let files = EdgeFiles::find(&root().join("target/edge-bundle"), &packages).unwrap();
        let objects = deployment.folder.join("objects");
        std::fs::create_dir_all(&objects).unwrap();
        let mut scene = Self {
            deployment,
            tenant,
            proxy,
            files,
            settings,
            objects,
            edge: None,
        };
        scene.start_edge().await;
        scene
    }

    async fn start_edge(&mut self) {
        let edge = Edge::start(&self.files, &self.settings, &self.objects);
        self.edge = Some(edge.await.unwrap());
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.settings.port))
    }

    fn pace(&self, path: &str, token: &str) -> Pace {
        Pace::start(&[self.address()], 4, path, token, 60)
    }

    /// workerd ends without a word, and comes back on the same objects; answers with
    /// when it was not there.
    async fn restart_isolates(&mut self) -> (Instant, Instant) {
        let gone = Instant::now();
        let mut edge = self.edge.take().unwrap();
        send(edge.id().unwrap(), Signal::KILL);
        edge.ended().await;
        self.start_edge().await;
        (gone, Instant::now())
    }

    async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => {
                self.deployment.end_core(Signal::KILL).await;
            }
            Fault::Frozen => send(self.deployment.core_id(), Signal::STOP),
            Fault::Slow => self.proxy.delay(Duration::from_secs(5)),
        }
    }

    async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => self.deployment.start_core().await,
            Fault::Frozen => send(self.deployment.core_id(), Signal::CONT),
            Fault::Slow => self.proxy.delay(Duration::ZERO),
        }
    }

    /// Done when a call is admitted again.
    async fn recovered(&self, token: &str) -> Duration {
        let begun = Instant::now();
        loop {
            let url = format!("http://{}/x", self.address());
            let asked = self.deployment.http.get(url).bearer_auth(token).send();
            let status = asked.await.map(|answer| answer.status());
            // A spent window is an answer of an edge that knows all that it must.
            if matches!(status, Ok(StatusCode::OK | StatusCode::TOO_MANY_REQUESTS)) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < RECOVERY, "{status:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

async fn tell(scene: &mut Scene, fault: Fault) -> Story {
    let admin = scene.deployment.token(&scene.tenant.administrator).await;
    let other = scene
        .deployment
        .agent(&admin, "other", &["files:read"])
        .await;
    let agent = scene.tenant.agent.clone();
    let live = scene.deployment.token(&agent).await;
    let stale = scene.deployment.token(&other).await;
    let doomed = scene.deployment.token(&other).await;
    let paces = [
        scene.pace("/x", &live),
        scene.pace("/stale/x", &stale),
        scene.pace("/x", &doomed),
        scene.pace("/stale/x", &doomed),
    ];
    tokio::time::sleep(Duration::from_millis(700)).await;
    let revoked = scene.deployment.revoke(&other, &doomed).await;
    let answered = Instant::now();
    assert_eq!(revoked, StatusCode::OK);
    // Heard of, but for the one that is away at once: its view is too old soon.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    scene.begin(fault).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let restart = scene.restart_isolates().await;
    tokio::time::sleep(LASTS.saturating_sub(begun.elapsed())).await;
    let over = Instant::now();
    scene.end(fault).await;
    let took = scene.recovered(&live).await;
    println!("{fault:?}: admitted again after {took:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut seen = Vec::new();
    for pace in paces {
        seen.push(pace.stop().await.unwrap());
    }
    let [live, stale, revoked, revoked_stale] = seen.try_into().unwrap();
    Story {
        live,
        stale,
        revoked: [revoked, revoked_stale],
        answered,
        away: (begun, over),
        restart,
        limit: LIMIT as usize,
    }
}

async fn survive(fault: Fault) {
    let mut scene = Scene::set().await;
    let story = tell(&mut scene, fault).await;
    let summary = story
        .check()
        .unwrap_or_else(|why| panic!("{fault:?}: {why}"));
    println!("{fault:?}: {summary:?}");
    // The load did reach the limit.
    assert!(summary.most_in_a_window > 50, "{summary:?}");
    scene.edge.take().unwrap().stop().await;
    scene.deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_killed_opens_no_door_and_is_found_again() {
    survive(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_frozen_opens_no_door_and_is_found_again() {
    survive(Fault::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_five_seconds_slow_opens_no_door_and_is_found_again() {
    survive(Fault::Slow).await;
}
