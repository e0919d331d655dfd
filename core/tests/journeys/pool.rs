//! Every connection to Postgres is taken: those who need one are told so in time,
//! and whoever holds a lock elsewhere does not hold the service.

use std::time::{Duration, Instant};

use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::Deployment;

const LONGEST: Duration = Duration::from_millis(2_000 + 400);

/// The value of a gauge.
async fn gauge(deployment: &Deployment, name: &str) -> u64 {
    let metrics = deployment.http.get(format!("{}/metrics", deployment.url));
    let text = metrics.send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_connection_held_all_are_answered_in_time_and_the_metrics_show_who_waits() {
    let settings = [("DATABASE_POOL_SIZE", "2")];
    let deployment = Deployment::start_with(Algorithm::EdDSA, &settings).await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    deployment.token(&tenant.agent).await;

    // Somebody else's transaction stands in the way of every change.
    let mut lock = deployment.pool.begin().await.unwrap();
    sqlx::query("SELECT seq FROM change_head FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let make = async |_: usize| {
        let begun = Instant::now();
        let made = deployment
            .http
            .post(format!("{}/api/v1{path}", deployment.url))
            .bearer_auth(&admin)
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
        let retry_after = made.headers().contains_key("retry-after");
        (made.status(), retry_after, made.text().await.unwrap())
    };
    let changes = futures_util::future::join_all((0..12).map(make));
    let watch = async {
        let (mut active, mut waiting) = (0, 0);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            active = active.max(gauge(&deployment, "agentidp_db_pool_active_connections ").await);
            waiting = waiting.max(gauge(&deployment, "agentidp_db_pool_waiting_requests ").await);
        }
        (active, waiting)
    };
    let issue = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        let answer = deployment.ask_token(&tenant.agent, &[]).await;
        assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
        answer.status()
    };
    let (changes, (active, waiting), issued) = tokio::join!(changes, watch, issue);
    for (status, retry_after, body) in changes {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(
            retry_after && body.contains("SERVICE_UNAVAILABLE"),
            "{body}"
        );
    }
    println!("{active} connections in use, {waiting} waiting; an issuance was answered {issued}");
    assert_eq!(active, 2);
    assert!(waiting >= 4, "{waiting}");

    // The lock is still held. Nobody waits for it any more, so others are served.
    let begun = Instant::now();
    while deployment.ask_token(&tenant.agent, &[]).await.status() != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(4), "held by a lock");
    }
    let listed = deployment.call(&admin, "GET", "/agents", None).await;
    assert_eq!(listed.0, StatusCode::OK);
    lock.rollback().await.unwrap();
    assert_eq!(make(12).await.0, StatusCode::CREATED);
    // What was refused left nothing.
    let listed = deployment.must(&admin, "GET", &path, None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    deployment.stop().await;
}
