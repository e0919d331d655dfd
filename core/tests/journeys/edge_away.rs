//! When the core cannot be reached: by route either nobody is admitted, or who was
//! not known to be revoked, for as long as the route says.

use std::time::{Duration, Instant};

use agentidp_core::dev::EdgeSettings;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::support::origin::Origin;
use crate::support::stores::send;
use crate::support::{Deployment, Tenant};

struct Scene {
    deployment: Deployment,
    tenant: Tenant,
    edge: String,
    origin: Origin,
}

impl Scene {
    /// `/strict` refuses, `/short` admits up to four seconds, `/long` for an hour.
    async fn new() -> Self {
        // A window that does not end meanwhile, and its leases with it.
        let window = [("RATE_LIMIT_WINDOW_MS", "3600000")];
        let mut deployment = Deployment::start_with(Algorithm::EdDSA, &window).await;
        let tenant = deployment.tenant("enterprise").await;
        let origin = Origin::start().await;
        let routes = json!([
            { "path": "/strict" },
            { "path": "/short", "when_core_is_away": { "admit_up_to_s": 4 } },
            { "path": "/long", "when_core_is_away": { "admit_up_to_s": 3600 } },
        ]);
        let settings = EdgeSettings {
            origin_url: format!("http://{}", origin.address),
            more: vec![("ROUTES", routes.to_string())],
            ..deployment.edge_settings(&[&tenant], "").await
        };
        Self {
            edge: deployment.start_edge_with(&settings).await,
            deployment,
            tenant,
            origin,
        }
    }

    async fn call(&self, path: &str, token: &str) -> reqwest::Response {
        let request = self.deployment.http.get(format!("{}{path}", self.edge));
        request.bearer_auth(token).send().await.unwrap()
    }
}

#[tokio::test]
async fn each_route_does_as_it_says_while_the_core_is_frozen_and_only_the_views_age_is_waived() {
    let scene = Scene::new().await;
    let (token, revoked, unseen) = (
        scene.deployment.token(&scene.tenant.agent).await,
        scene.deployment.token(&scene.tenant.agent).await,
        scene.deployment.token(&scene.tenant.agent).await,
    );
    for path in ["/strict", "/short", "/long"] {
        let answer = scene.call(path, &token).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(!answer.headers().contains_key("x-revocation-age"));
    }
    scene.deployment.revoke(&scene.tenant.agent, &revoked).await;
    let begun = Instant::now();
    while scene.call("/long", &revoked).await.status() == StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // So many that what is leased lasts: permits are never waived.
    for _ in 0..115 {
        scene.call("/long", &token).await;
    }

    send(scene.deployment.core_id(), Signal::STOP);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The core has half a second, once: then it is away.
    let asked = Instant::now();
    let refused = scene.call("/strict", &token).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    scene.origin.take();
    for path in ["/short", "/long"] {
        let asked = Instant::now();
        let admitted = scene.call(path, &token).await;
        assert_eq!(admitted.status(), StatusCode::OK, "{path}");
        let age: u64 = admitted.headers()["x-revocation-age"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((2..=5).contains(&age), "{age}");
        let seen = scene.origin.take();
        assert_eq!(seen[0].values("x-revocation-age"), [age.to_string()]);
        assert!(
            asked.elapsed() < Duration::from_millis(900),
            "{:?}",
            asked.elapsed()
        );
    }
    // Nobody waits for a core that is known to be away.
    let asked = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.call("/long", &token).await.status(), StatusCode::OK);
    }
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    // A token that was not seen yet is checked like any, a bad one is refused, and
    // what is known to be revoked stays so.
    assert_eq!(scene.call("/long", &unseen).await.status(), StatusCode::OK);
    let (signed, signature) = unseen.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let bad = format!("{signed}.{other}{}", &signature[1..]);
    for bad in [bad.as_str(), "x.y.z", revoked.as_str()] {
        let answer = scene.call("/long", bad).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    // After the age that a route takes, it is like any other.
    let begun = Instant::now();
    while scene.call("/short", &token).await.status() == StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        scene.call("/short", &token).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(scene.call("/long", &token).await.status(), StatusCode::OK);
    // One line for all of a second says it.
    let log = std::fs::read_to_string(scene.deployment.folder.join("edge.log")).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("the core is away"))
        .count();
    assert!((1..=12).contains(&lines), "{lines}: {log}");

    send(scene.deployment.core_id(), Signal::CONT);
    let begun = Instant::now();
    loop {
        let answer = scene.call("/long", &token).await;
        assert_eq!(answer.status(), StatusCode::OK);
        if !answer.headers().contains_key("x-revocation-age") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scene.call("/strict", &token).await.status(), StatusCode::OK);
    scene.deployment.stop().await;
}

#[tokio::test]
async fn an_edge_that_never_heard_of_its_core_admits_nobody_on_any_route() {
    let mut scene = Scene::new().await;
    let token = scene.deployment.token(&scene.tenant.agent).await;
    scene.deployment.stop_core().await;
    for path in ["/strict", "/short", "/long"] {
        let answer = scene.call(path, &token).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    assert!(scene.origin.take().is_empty());
    scene.deployment.start_core().await;
    assert_eq!(scene.call("/strict", &token).await.status(), StatusCode::OK);
    scene.deployment.stop().await;
}
