//! Redis loses everything in the middle of a day: what was revoked stays dead, and
//! nobody gets a second quota. A loss rounds up by less than a block for each
//! replica: a 64th of a day's or a month's limit, an eighth of a window's.

mod revoked;
mod under_load;

use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use agentidp_verify::Algorithm;
use redis::AsyncCommands as _;
use reqwest::StatusCode;

use crate::support::own_redis::OwnRedis;
use crate::support::{Deployment, Tenant};

const DAY_MS: u64 = 86_400_000;

/// A deployment on `redis` whose window is as long as the day, away from midnight.
async fn deployment_on(redis: &OwnRedis) -> Deployment {
    let left = DAY_MS - Now::read().ms() % DAY_MS;
    if left < 60_000 {
        tokio::time::sleep(Duration::from_millis(left + 100)).await;
    }
    let url = redis.url();
    let settings = [
        ("REDIS_URL", url.as_str()),
        ("RATE_LIMIT_WINDOW_MS", "86400000"),
    ];
    Deployment::start_with(Algorithm::EdDSA, &settings).await
}

/// Gives the tier `free` the number `limit` in `column`, and enough of the rest.
async fn only_limit(deployment: &Deployment, column: &str, limit: u64) {
    let statement = format!(
        "UPDATE tiers SET calls_per_day = 1000000, tokens_per_day = 1000000, tokens_per_month = 1000000,
                requests_per_minute = 1000000 WHERE tier = 'free';
         UPDATE tiers SET {column} = {limit} WHERE tier = 'free'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&deployment.pool)
        .await
        .unwrap();
}

/// How much a loss may round up by: marks are this far apart.
fn block(column: &str, limit: u64) -> u64 {
    let share = if column == "requests_per_minute" {
        8
    } else {
        64
    };
    (limit / share).max(1)
}

/// One use that `column` limits.
async fn use_once(
    deployment: &Deployment,
    tenant: &Tenant,
    admin: &str,
    column: &str,
) -> StatusCode {
    if column == "calls_per_day" {
        return deployment.call(admin, "GET", "/agents", None).await.0;
    }
    deployment.ask_token(&tenant.agent, &[]).await.status()
}

/// Uses until five are refused in a row; how many were admitted.
async fn use_up(deployment: &Deployment, tenant: &Tenant, admin: &str, column: &str) -> u64 {
    let (mut admitted, mut refused) = (0, 0);
    let begun = Instant::now();
    while refused < 5 {
        match use_once(deployment, tenant, admin, column).await {
            StatusCode::OK => (admitted, refused) = (admitted + 1, 0),
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no end");
    }
    admitted
}

/// Tokens that the record says the tenant was issued.
async fn issued_to(deployment: &Deployment, tenant: &Tenant) -> u64 {
    let count =
        "SELECT count(*) FROM audit_events WHERE action = 'token.issued' AND org_id = $1::uuid";
    let count: i64 = sqlx::query_scalar(count)
        .bind(&tenant.org_id)
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    count.unsigned_abs()
}

/// Uses of a new tenant of one agent that its own set-up has counted.
fn counted_before(column: &str) -> u64 {
    match column {
        "calls_per_day" => 3,
        "tokens_per_day" => 1,
        _ => 0,
    }
}

#[tokio::test]
async fn a_lost_store_gives_nobody_a_second_quota_and_rounds_within_a_block() {
    let mut redis = OwnRedis::start().await;
    let deployment = deployment_on(&redis).await;
    for (column, limit, used) in [
        ("tokens_per_day", 10, 3),
        ("tokens_per_day", 200, 151),
        ("tokens_per_month", 130, 1),
        ("tokens_per_month", 100, 99),
        ("requests_per_minute", 40, 39),
        ("requests_per_minute", 100, 20),
        ("calls_per_day", 192, 61),
    ] {
        only_limit(&deployment, column, limit).await;
        let tenant = deployment.tenant("free").await;
        let admin = deployment.token(&tenant.administrator).await;
        let mut total = counted_before(column);
        if column == "tokens_per_day" {
            total += 1;
        }
        while total < used {
            let status = use_once(&deployment, &tenant, &admin, column).await;
            assert_eq!(status, StatusCode::OK, "{column} {total}");
            total += 1;
        }
        redis.lose_everything().await;
        total += use_up(&deployment, &tenant, &admin, column).await;
        let lost = limit.checked_sub(total);
        let lost = lost.unwrap_or_else(|| panic!("{total} of {limit} {column}"));
        println!("{column}: {used} of {limit} used before the loss, {lost} rounded away");
        assert!(
            lost < block(column, limit),
            "{lost} of {limit} {column} after {used}"
        );
    }
    deployment.stop().await;
    redis.stop().await;
}

#[tokio::test]
async fn a_second_and_a_third_loss_give_nothing_either_and_counters_still_end() {
    let mut redis = OwnRedis::start().await;
    let deployment = deployment_on(&redis).await;
    only_limit(&deployment, "tokens_per_day", 128).await;
    let tenant = deployment.tenant("free").await;
    let mut issued = 1;
    for _ in 0..3 {
        for _ in 0..20 {
            deployment.token(&tenant.agent).await;
            issued += 1;
        }
        redis.lose_everything().await;
        while deployment.ask_token(&tenant.agent, &[]).await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        issued += 1;
    }
    let key = format!("rate:tier:tokens:{}", tenant.org_id);
    let left: i64 = redis.connection().await.pttl(&key).await.unwrap();
    assert!((1..=86_400_000).contains(&left), "{left}");
    issued += use_up(&deployment, &tenant, "", "tokens_per_day").await;
    assert!((128 - 3..=128).contains(&issued), "{issued}");
    assert_eq!(issued_to(&deployment, &tenant).await, issued);
    deployment.stop().await;
    redis.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_core_alone_rounds_nothing() {
    let redis = OwnRedis::start().await;
    let mut deployment = deployment_on(&redis).await;
    only_limit(&deployment, "tokens_per_month", 192).await;
    let tenant = deployment.tenant("free").await;
    for _ in 0..100 {
        deployment.token(&tenant.agent).await;
    }
    for _ in 0..3 {
        deployment.stop_core().await;
        deployment.start_core().await;
        deployment.token(&tenant.agent).await;
    }
    let total = 103 + use_up(&deployment, &tenant, "", "tokens_per_month").await;
    assert_eq!(total, 192);
    deployment.stop().await;
    redis.stop().await;
}
