//! Clocks are wrong: the core's steps back an hour while it runs, the edge's is two
//! minutes off. What was refused stays refused, what is spent stays spent.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::support::forge::Forge;
use crate::support::{Client, Deployment, claims, root, status_at, text};

const WINDOW_MS: u64 = 15_000;
const WINDOW: (&str, &str) = ("RATE_LIMIT_WINDOW_MS", "15000");

/// A clock that is `seconds` off, in its folder: the settings that give it to a
/// process.
struct Clock {
    folder: PathBuf,
}

impl Clock {
    fn off_by(seconds: i64) -> Self {
        let folder = std::env::temp_dir().join(format!("clock-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let clock = Self { folder };
        clock.set(seconds);
        let built = Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"])
            .arg(clock.library())
            .arg(root().join("core/tests/support/another_time.rs"))
            .status()
            .unwrap();
        assert!(built.success());
        clock
    }

    fn set(&self, seconds: i64) {
        // In one step: it is read all the time.
        let new = self.folder.join("new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, self.offset()).unwrap();
    }

    fn offset(&self) -> PathBuf {
        self.folder.join("offset")
    }

    fn library(&self) -> PathBuf {
        self.folder.join("another_time.so")
    }

    fn remove(self) {
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

/// Waits for the first moments of a window.
async fn start_of_a_window() {
    let into = Now::read().ms() % WINDOW_MS;
    if into > WINDOW_MS / 3 {
        tokio::time::sleep(Duration::from_millis(WINDOW_MS - into + 20)).await;
    }
}

#[tokio::test]
async fn a_core_whose_clock_steps_back_an_hour_revives_nothing_and_gives_nobody_more() {
    let clock = Clock::off_by(0);
    let (library, offset) = (clock.library(), clock.offset());
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("CLOCK_OFFSET_FILE", offset.to_str().unwrap()),
        WINDOW,
    ];
    let mut deployment = Deployment::start_with(Algorithm::EdDSA, &settings).await;
    deployment.set_tier("free", "tokens_per_day", Some(6)).await;
    let (tenant, daily) = (
        deployment.tenant("pro").await,
        deployment.tenant("free").await,
    );
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let credential = format!("{path}/{}", text(&listed["data"][0], "credential_id"));
    let rotation = json!({ "overlap_seconds": 1 });
    let rotated = deployment
        .must(
            &admin,
            "POST",
            &format!("{credential}/rotate"),
            Some(rotation),
        )
        .await;
    let (old, agent) = (tenant.agent.clone(), Client::from_json(&rotated));
    deployment
        .set_tier("pro", "requests_per_minute", Some(6))
        .await;
    // The old credential ends, and the core hears of the tier's number.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    start_of_a_window().await;
    let (valid, revoked) = (
        deployment.token(&agent).await,
        deployment.token(&agent).await,
    );
    assert_eq!(deployment.revoke(&agent, &revoked).await, StatusCode::OK);
    let good = Forge::good(
        &deployment,
        &tenant,
        &agent.id,
        &tenant.resource,
        "files:read",
    );
    let expired = good.claim("exp", json!(Now::read().s() - 5)).sign();
    for _ in 0..3 {
        deployment.token(&daily.agent).await;
    }
    let seen = async |token: &str| deployment.introspect(&agent, token).await;
    let before = seen(&valid).await;

    clock.set(-3_600);
    assert_eq!(before["active"], true);
    assert_eq!(seen(&valid).await, before);
    for dead in [&revoked, &expired] {
        assert_eq!(seen(dead).await, json!({ "active": false }));
    }
    let refused = deployment.ask_token(&old, &[]).await.status();
    assert_eq!(
        refused,
        StatusCode::UNAUTHORIZED,
        "the old credential's end"
    );
    // Two of six were used in this window: four are left, and no more.
    for _ in 0..4 {
        let token = claims(&deployment.token(&agent).await);
        assert!(token["iat"].as_u64() >= before["iat"].as_u64());
    }
    let refused = deployment.ask_token(&agent, &[]).await.status();
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    // Of the day's six the administrator's token and three were used.
    for left in [true, true, false] {
        let answer = deployment.ask_token(&daily.agent, &[]).await;
        assert_eq!(answer.status() == StatusCode::OK, left);
    }

    // And a core that starts with the wrong clock: the day is still spent.
    deployment.end_core(Signal::KILL).await;
    deployment.start_core().await;
    let spent = deployment.ask_token(&daily.agent, &[]).await.status();
    assert_eq!(spent, StatusCode::TOO_MANY_REQUESTS);
    let seen = deployment.introspect(&agent, &revoked).await;
    assert_eq!(seen, json!({ "active": false }));
    deployment.stop().await;
    clock.remove();
}

/// A workerd that goes by `clock`, in a folder like npm's.
fn workerd_by(clock: &Clock) -> PathBuf {
    let scope = std::fs::read_dir(root().join("edge/node_modules/@cloudflare")).unwrap();
    let workerd = scope
        .flatten()
        .map(|entry| entry.path().join("bin/workerd"))
        .find(|path| path.exists())
        .unwrap();
    let bin = clock.folder.join("@cloudflare/workerd/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nexport LD_PRELOAD={} CLOCK_OFFSET_FILE={}\nexec {} \"$@\"\n",
        clock.library().display(),
        clock.offset().display(),
        workerd.display()
    );
    let path = bin.join("workerd");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    clock.folder.clone()
}

#[tokio::test]
async fn an_edge_two_minutes_off_refuses_and_admits_by_the_cores_clock() {
    for seconds in [-120, 120] {
        let mut deployment = Deployment::start_with(Algorithm::EdDSA, &[WINDOW]).await;
        let rpm = 7;
        deployment
            .set_tier("pro", "requests_per_minute", Some(rpm))
            .await;
        let (tenant, limited) = (
            deployment.tenant("enterprise").await,
            deployment.tenant("pro").await,
        );
        let clock = Clock::off_by(seconds);
        let packages = workerd_by(&clock);
        let settings = deployment.edge_settings(&[&tenant, &limited], "").await;
        let edge = deployment.start_edge_from(&packages, &settings).await;
        let url = format!("{edge}/verify");
        let good = Forge::good(
            &deployment,
            &tenant,
            &tenant.agent.id,
            &tenant.resource,
            "files:read",
        );
        let (now, ok, refused) = (Now::read().s(), StatusCode::OK, StatusCode::UNAUTHORIZED);
        for (claim, at, status) in [
            // Issued this second, which is two minutes ahead there or long ago.
            ("iat", now, ok),
            ("exp", now + 60, ok),
            ("exp", now - 2, refused),
            ("iat", now + 100, refused),
            ("nbf", now + 60, refused),
        ] {
            let token = good.claim(claim, json!(at)).sign();
            let seen = status_at(&deployment, &url, &token).await;
            assert_eq!(seen, status, "{claim} at {at}, the edge off by {seconds} s");
        }

        let token = deployment.token(&tenant.agent).await;
        assert_eq!(status_at(&deployment, &url, &token).await, ok);
        assert_eq!(deployment.revoke(&tenant.agent, &token).await, ok);
        let begun = Instant::now();
        while status_at(&deployment, &url, &token).await == ok {
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "off by {seconds} s"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        start_of_a_window().await;
        let token = deployment.token(&limited.agent).await;
        for _ in 0..rpm {
            assert_eq!(status_at(&deployment, &url, &token).await, ok);
        }
        let spent = deployment
            .http
            .get(&url)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(spent.status(), StatusCode::TOO_MANY_REQUESTS);
        let reset = spent.headers()["x-ratelimit-reset"].to_str().unwrap();
        let window = Now::read().ms() / WINDOW_MS;
        assert_eq!(reset, ((window + 1) * WINDOW_MS / 1000).to_string());
        deployment.stop().await;
        clock.remove();
    }
}
