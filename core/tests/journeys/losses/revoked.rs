//! What was revoked before a loss.

use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use reqwest::StatusCode;

use super::deployment_on;
use crate::support::own_redis::OwnRedis;
use crate::support::{status_at, text};

#[tokio::test]
async fn a_lost_store_revives_no_revoked_token() {
    let mut redis = OwnRedis::start().await;
    let mut deployment = deployment_on(&redis).await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let replica = deployment.replica(&[]).await;
    let admin = deployment.token(&tenant.administrator).await;
    let (token, good) = (
        deployment.token(&tenant.agent).await,
        deployment.token(&tenant.agent).await,
    );
    let hello = format!("{edge}/hello");
    assert_eq!(status_at(&deployment, &hello, &token).await, StatusCode::OK);
    let mut marks = Vec::new();
    for (client, token) in [(&tenant.agent, &token), (&tenant.administrator, &admin)] {
        let described = deployment.introspect(client, token).await;
        marks.push(format!("revoked:{}", text(&described, "jti")));
        assert_eq!(deployment.revoke(client, token).await, StatusCode::OK);
    }
    let marked = async |redis: &OwnRedis| {
        let mut connection = redis.connection().await;
        let begun = Instant::now();
        for key in &marks {
            loop {
                let left: i64 = connection.pttl(key).await.unwrap();
                if left > 0 {
                    assert!(
                        left <= 3_600_000,
                        "what was left of the token's life: {left}"
                    );
                    break;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(3),
                    "{key} is not there"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    marked(&redis).await;
    redis.lose_everything().await;
    for core in [&deployment, &*replica] {
        let introspected = core.introspect(&tenant.agent, &token).await;
        assert_eq!(introspected["active"], false);
        let (status, _) = core.call(&admin, "GET", "/agents", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let begun = Instant::now();
    while status_at(&deployment, &hello, &token).await != StatusCode::UNAUTHORIZED {
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the edge still admits it"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    marked(&redis).await;
    assert_eq!(status_at(&deployment, &hello, &good).await, StatusCode::OK);
    let introspected = deployment.introspect(&tenant.agent, &good).await;
    assert_eq!(introspected["active"], true);
    replica.stop().await;
    deployment.stop().await;
    redis.stop().await;
}
