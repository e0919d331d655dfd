//! The contract's limits, at the core and at the edge, by the contract's keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentidp_core::clock::Now;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Deployment;

async fn redis() -> redis::aio::MultiplexedConnection {
    let url = std::env::var("REDIS_URL").unwrap();
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap()
}

/// Waits for the first moments of a window, so that a count fits into one.
async fn start_of_a_window(window_ms: u64) {
    let into = Now::read().ms() % window_ms;
    if into > window_ms / 4 {
        tokio::time::sleep(Duration::from_millis(window_ms - into + 20)).await;
    }
}

/// Sets numbers of a tier, as an operator may.
async fn set_tier(deployment: &Deployment, tier: &str, column: &'static str, number: i32) {
    let statement = format!("UPDATE tiers SET {column} = {number} WHERE tier = '{tier}'");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&deployment.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_of_one_client_get_exactly_its_hundred_at_the_edge() {
    const WINDOW_MS: u64 = 20_000;
    let mut deployment = Deployment::start_with(
        agentidp_verify::Algorithm::EdDSA,
        &[("RATE_LIMIT_WINDOW_MS", "20000")],
    )
    .await;
    let tenant = deployment.tenant("free").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    start_of_a_window(WINDOW_MS).await;
    let window = Now::read().ms() / WINDOW_MS;

    let admitted = Arc::new(AtomicUsize::new(0));
    let callers = (0..64).map(|_| {
        let (http, url, token, admitted) = (
            deployment.http.clone(),
            format!("{edge}/verify"),
            token.clone(),
            Arc::clone(&admitted),
        );
        tokio::spawn(async move {
            loop {
                let answer = http.get(&url).bearer_auth(&token).send().await.unwrap();
                if answer.status() != StatusCode::OK {
                    return answer;
                }
                admitted.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    for refused in futures_util::future::join_all(callers).await {
        let refused = refused.unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let number = |name: &str| {
            refused.headers()[name]
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(
            (number("x-ratelimit-limit"), number("x-ratelimit-remaining")),
            (100, 0)
        );
        assert_eq!(
            number("x-ratelimit-reset"),
            ((window + 1) * WINDOW_MS).div_ceil(1000)
        );
        assert!((1..=20).contains(&number("retry-after")));
    }
    assert_eq!(
        Now::read().ms() / WINDOW_MS,
        window,
        "the count took longer than a window"
    );
    assert_eq!(admitted.load(Ordering::SeqCst), 100);
    deployment.stop().await;
}

#[tokio::test]
async fn the_window_of_a_client_is_counted_under_its_key_and_refuses_the_next() {
    let deployment = Deployment::start_with(
        agentidp_verify::Algorithm::EdDSA,
        &[("RATE_LIMIT_WINDOW_MS", "30000")],
    )
    .await;
    set_tier(&deployment, "free", "requests_per_minute", 5).await;
    let tenant = deployment.tenant("free").await;
    start_of_a_window(30_000).await;
    for left in (0..5).rev() {
        let answer = deployment.ask_token(&tenant.agent, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["x-ratelimit-remaining"], left.to_string());
    }
    let refused = deployment.ask_token(&tenant.agent, &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(
        (&body["error"], &body["code"]),
        (
            &json!("temporarily_unavailable"),
            &json!("RATE_LIMIT_EXCEEDED")
        )
    );

    let mut redis = redis().await;
    let key = format!("rate:{}:{}", tenant.agent.id, Now::read().ms() / 30_000);
    let count: u64 = redis.get(&key).await.unwrap();
    assert_eq!(count, 6);
    let ttl: i64 = redis.pttl(&key).await.unwrap();
    assert!((1..=30_000).contains(&ttl), "{ttl}");
    // What was refused is no token: five were counted for the day, and the
    // administrator's.
    let day: u64 = redis
        .get(format!("rate:tier:tokens:{}", tenant.org_id))
        .await
        .unwrap();
    assert_eq!(day, 6);
    deployment.stop().await;
}

#[tokio::test]
async fn a_spent_day_or_month_is_tier_limit_exceeded() {
    let deployment = Deployment::start().await;
    for (tier, column) in [("free", "tokens_per_day"), ("pro", "tokens_per_month")] {
        set_tier(&deployment, tier, column, 2).await;
        let tenant = deployment.tenant(tier).await;
        // The administrator's own token was the day's first.
        let spare = usize::from(tier == "pro");
        for _ in 0..1 + spare {
            assert_eq!(
                deployment.ask_token(&tenant.agent, &[]).await.status(),
                StatusCode::OK
            );
        }
        for _ in 0..3 {
            let refused = deployment.ask_token(&tenant.agent, &[]).await;
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            let retry: u64 = refused.headers()["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(retry >= 1);
            assert_eq!(refused.headers()["x-ratelimit-limit"], "2");
            let body: Value = refused.json().await.unwrap();
            assert_eq!(body["code"], "tier_limit_exceeded");
        }
        let now = Now::read().timestamp();
        let key = match tier {
            "free" => format!("rate:tier:tokens:{}", tenant.org_id),
            _ => format!(
                "monthly:{}:{}:{}",
                tenant.agent.id,
                now.year(),
                u8::from(now.month())
            ),
        };
        let count: u64 = redis().await.get(&key).await.unwrap();
        assert_eq!(count, 2, "a refusal is taken back");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_spent_day_of_calls_still_lets_an_administrator_stop_things() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let calls: u64 = redis()
        .await
        .get(format!("rate:tier:calls:{}", tenant.org_id))
        .await
        .unwrap();
    assert_eq!(calls, 3, "a resource, an agent and a credential were made");
    set_tier(&deployment, "free", "calls_per_day", 3).await;
    // Any change of the tenant has its numbers read again.
    let operator = deployment.token(&deployment.operator).await;
    deployment
        .must(
            &operator,
            "PATCH",
            &format!("/tenants/{}", tenant.org_id),
            Some(json!({ "name": "Acme 2" })),
        )
        .await;

    let (status, answer) = deployment.call(&admin, "GET", "/agents", None).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("tier_limit_exceeded"))
    );
    let agent = format!("/agents/{}", tenant.agent.id);
    let (status, _) = deployment
        .call(&admin, "PATCH", &agent, Some(json!({ "owner": "x" })))
        .await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    deployment
        .must(
            &admin,
            "PATCH",
            &agent,
            Some(json!({ "status": "suspended" })),
        )
        .await;
    deployment.must(&admin, "DELETE", &agent, None).await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_new_tier_is_in_force_with_the_next_token() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    assert_eq!(
        deployment.ask_token(&tenant.agent, &[]).await.headers()["x-ratelimit-limit"],
        "100"
    );
    let operator = deployment.token(&deployment.operator).await;
    deployment
        .must(
            &operator,
            "PATCH",
            &format!("/tenants/{}", tenant.org_id),
            Some(json!({ "tier": "enterprise" })),
        )
        .await;
    assert_eq!(
        deployment.ask_token(&tenant.agent, &[]).await.headers()["x-ratelimit-limit"],
        "10000"
    );
    // The operator's own tenant has no limits.
    assert!(
        !deployment
            .ask_token(&deployment.operator, &[])
            .await
            .headers()
            .contains_key("x-ratelimit-limit")
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_downgrade_caps_the_tokens_that_carry_more() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    let limit = async || {
        let answer = deployment
            .http
            .get(format!("{edge}/verify"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.headers()["x-ratelimit-limit"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit().await, "10000");
    let operator = deployment.token(&deployment.operator).await;
    deployment
        .must(
            &operator,
            "PATCH",
            &format!("/tenants/{}", tenant.org_id),
            Some(json!({ "tier": "free" })),
        )
        .await;
    let begun = std::time::Instant::now();
    while limit().await != "100" {
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the cap has not come"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_change_of_a_tiers_numbers_reaches_clients_that_are_known_already() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let limit = async || {
        deployment.ask_token(&tenant.agent, &[]).await.headers()["x-ratelimit-limit"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit().await, "1000");
    set_tier(&deployment, "pro", "requests_per_minute", 777).await;
    let begun = std::time::Instant::now();
    while limit().await != "777" {
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "the change has not come"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    deployment.stop().await;
}
