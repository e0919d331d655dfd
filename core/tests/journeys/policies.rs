//! Hostile policies: what traps or runs out denies, leaves an event, and never
//! takes the service down.

use agentidp_core::clock::Now;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::support::{Deployment, root};

/// Makes a component of a core module in text, as a tenant's tool would.
pub(super) fn component(wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_file(root().join("policies/policy.wit"))
        .unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

/// Puts a module into force for a tier, as an operator would.
async fn put(deployment: &Deployment, tier: &str, component: &[u8]) {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(component));
    sqlx::query("INSERT INTO policy_modules (digest, component, built_in, created_at) VALUES ($1, $2, false, $3) ON CONFLICT DO NOTHING")
        .bind(&digest)
        .bind(component)
        .bind(Now::read().timestamp())
        .execute(&deployment.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE tiers SET module_digest = $1 WHERE tier = $2")
        .bind(&digest)
        .bind(tier)
        .execute(&deployment.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_module_that_traps_or_runs_out_denies_and_the_service_goes_on() {
    let deployment = Deployment::start().await;
    let folder = root().join("policies/hostile");
    let mut hostile: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    hostile.sort();
    let mut denied = 0;
    for path in &hostile {
        put(
            &deployment,
            "pro",
            &component(&std::fs::read_to_string(path).unwrap()),
        )
        .await;
        let tenant = deployment.tenant_without_tokens("pro").await;
        for _ in 0..3 {
            let answer = deployment.ask_token(&tenant, &[]).await;
            assert_eq!(
                answer.status(),
                StatusCode::BAD_REQUEST,
                "{}",
                path.display()
            );
            let body: Value = answer.json().await.unwrap();
            assert_eq!(
                (&body["error"], &body["message"]),
                (
                    &json!("access_denied"),
                    &json!("The policy could not decide.")
                ),
                "{}",
                path.display()
            );
            denied += 1;
        }
    }
    assert!(hostile.len() >= 7, "{hostile:?}");
    assert_eq!(deployment.events("token.denied").await, denied);
    let reasons: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT details->>'reason' FROM audit_events WHERE action = 'token.denied'",
    )
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    println!("{reasons:#?}");
    for part in ["all fuel consumed", "unreachable", "stack", "memory"] {
        assert!(
            reasons.iter().any(|reason| reason.contains(part)),
            "{part}: {reasons:?}"
        );
    }
    // Others are served all the while.
    deployment.tenant("free").await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_module_that_is_not_there_or_is_not_what_its_digest_says_denies() {
    let deployment = Deployment::start().await;
    sqlx::query("UPDATE tiers SET module_digest = NULL WHERE tier = 'pro'")
        .execute(&deployment.pool)
        .await
        .unwrap();
    let tenant = deployment.tenant_without_tokens("pro").await;
    assert_eq!(
        deployment.ask_token(&tenant, &[]).await.status(),
        StatusCode::BAD_REQUEST
    );

    let digest = "00".repeat(32);
    sqlx::query("INSERT INTO policy_modules SELECT $1, component, false, created_at FROM policy_modules LIMIT 1")
        .bind(&digest).execute(&deployment.pool).await.unwrap();
    sqlx::query("UPDATE tiers SET module_digest = $1 WHERE tier = 'pro'")
        .bind(&digest)
        .execute(&deployment.pool)
        .await
        .unwrap();
    let tenant = deployment.tenant_without_tokens("pro").await;
    assert_eq!(
        deployment.ask_token(&tenant, &[]).await.status(),
        StatusCode::BAD_REQUEST
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_denial_takes_the_day_and_the_month_back() {
    let deployment = Deployment::start().await;
    let unreachable =
        std::fs::read_to_string(root().join("policies/hostile/unreachable.wat")).unwrap();
    put(&deployment, "pro", &component(&unreachable)).await;
    let client = deployment.tenant_without_tokens("pro").await;
    for _ in 0..3 {
        assert_eq!(
            deployment.ask_token(&client, &[]).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
    use redis::AsyncCommands as _;
    let redis = redis::Client::open(std::env::var("REDIS_URL").unwrap()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let now = Now::read().timestamp();
    let month: u64 = redis
        .get(format!(
            "monthly:{}:{}:{}",
            client.id,
            now.year(),
            u8::from(now.month())
        ))
        .await
        .unwrap();
    assert_eq!(month, 0);
    let windows: Vec<String> = redis.keys(format!("rate:{}:*", client.id)).await.unwrap();
    let mut counted = 0;
    for window in windows {
        let count: u64 = redis.get(window).await.unwrap();
        counted += count;
    }
    assert_eq!(counted, 3, "the window stays counted");
    deployment.stop().await;
}
