//! Postgres and Redis stop, freeze or fall silent under load, and come back. While
//! they are away nobody waits for long and everybody is told to come again;
//! afterwards the service goes on by itself, and every token is accounted for.

mod scene;

use reqwest::StatusCode;
use serde_json::json;

use self::scene::{Fault, Outage, Scene, eventually};
use crate::support::stores::Stores;
use crate::support::{claims, text};

const POSTGRES_LOST: &str = "Unexpected pg pool error ";
const REDIS_LOST: &str = "Redis client error ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_nothing_is_issued_or_changed_and_nobody_waits_for_long() {
    let mut stores = Stores::start().await;
    let scene = Scene::set(&stores).await;
    for fault in Fault::ALL {
        let token = scene.deployment.token(&scene.tenant.agent).await;
        let outage = Outage::begin(&scene, &mut [&mut stores.postgres], fault).await;
        scene.is_not_ready("The database cannot be reached.").await;
        scene.is_unavailable("GET", "/agents", None).await;
        let never = json!({ "name": "never" });
        scene.is_unavailable("POST", "/agents", Some(never)).await;
        for endpoint in ["introspect", "revoke"] {
            let (status, body) = scene.oauth(endpoint, &token).await;
            assert_eq!(
                status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{endpoint}: {body}"
            );
            assert_eq!(body["error"], "temporarily_unavailable");
        }
        let (_, body) = scene.oauth("introspect", "a.b.c").await;
        assert_ne!(body["active"], true);
        let log = outage.end(&mut [&mut stores.postgres]).await;
        assert!(log.contains(POSTGRES_LOST), "{log}");
        let (status, body) = scene.oauth("introspect", &token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    // What was answered with 503 may have come to pass, but never by half.
    let agents: i64 = sqlx::query_scalar("SELECT count(*) FROM agents")
        .fetch_one(&scene.deployment.pool)
        .await
        .unwrap();
    assert_eq!(agents, scene.deployment.events("agent.created").await);
    scene.deployment.stop().await;
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_what_takes_something_out_of_service_goes_on() {
    let mut stores = Stores::start().await;
    let scene = Scene::set(&stores).await;
    let (deployment, agent) = (&scene.deployment, &scene.tenant.agent);
    let agents = deployment.events("agent.created").await;
    for (made, fault) in (1..).zip(Fault::ALL) {
        let (token, kept) = (deployment.token(agent).await, deployment.token(agent).await);
        let spare = deployment
            .agent(&scene.admin, &format!("spare {made}"), &["files:read"])
            .await;
        let spares = deployment.token(&spare).await;
        let outage = Outage::begin(&scene, &mut [&mut stores.redis], fault).await;
        scene.is_not_ready("Redis cannot be reached.").await;
        scene.is_unavailable("GET", "/agents", None).await;
        let never = json!({ "name": "never" });
        scene.is_unavailable("POST", "/agents", Some(never)).await;

        // What was revoked is known without the counters, and more can be.
        assert_eq!(scene.oauth("introspect", &kept).await.1["active"], true);
        let (status, body) = scene.oauth("revoke", &token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let path = format!("/agents/{}", spare.id);
        let suspended = json!({ "status": "suspended" });
        let (status, _, body) = scene.call("PATCH", &path, Some(suspended)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let refused = deployment.ask_token(&spare, &[]).await.status();
        assert_eq!(refused, StatusCode::BAD_REQUEST);
        let inactive = json!({ "active": false });
        assert_eq!(scene.oauth("introspect", &token).await.1, inactive);
        assert_eq!(scene.oauth("introspect", &spares).await.1, inactive);

        let log = outage.end(&mut [&mut stores.redis]).await;
        assert!(log.contains(REDIS_LOST), "{log}");
        assert_eq!(scene.oauth("introspect", &token).await.1, inactive);
        let key = format!("revoked:{}", text(&claims(&token), "jti"));
        eventually(async || deployment.counter(&key).await == 1).await;
        assert_eq!(deployment.events("agent.created").await, agents + made);
    }
    scene.deployment.stop().await;
    stores.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_both_nobody_waits_for_long_and_they_come_back() {
    let mut stores = Stores::start().await;
    let scene = Scene::set(&stores).await;
    for fault in Fault::ALL {
        let both = &mut [&mut stores.postgres, &mut stores.redis];
        let outage = Outage::begin(&scene, both, fault).await;
        scene.is_not_ready("The database cannot be reached.").await;
        scene.is_unavailable("GET", "/agents", None).await;
        let log = outage.end(both).await;
        assert!(log.contains(POSTGRES_LOST), "{log}");
        assert!(log.contains(REDIS_LOST), "{log}");
    }
    scene.deployment.stop().await;
    stores.stop().await;
}
