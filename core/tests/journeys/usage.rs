//! What is used of the limits, what is left, and when they begin anew.

use agentidp_core::clock::Now;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::own_redis::OwnRedis;
use crate::support::{Deployment, Tenant, text};

fn of_tenant(tenant: &Tenant) -> String {
    format!("/tenants/{}/usage", tenant.org_id)
}

fn of_agent(tenant: &Tenant) -> String {
    format!("/agents/{}/usage", tenant.agent.id)
}

fn part(usage: &Value) -> (u64, Option<u64>, Option<u64>) {
    let used = usage["used"].as_u64().unwrap();
    (used, usage["limit"].as_u64(), usage["left"].as_u64())
}

fn ends(usage: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(&text(usage, "resets_at"), &Rfc3339).unwrap()
}

#[tokio::test]
async fn a_tenant_sees_what_it_has_used_and_what_is_left() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    for _ in 0..3 {
        deployment.token(&tenant.agent).await;
    }
    // A resource, an agent and a credential were made; to ask is a call too. The
    // administrator has got two tokens.
    let usage = deployment
        .must(&admin, "GET", &of_tenant(&tenant), None)
        .await;
    assert_eq!(part(&usage["calls_today"]), (4, Some(1000), Some(996)));
    assert_eq!(part(&usage["tokens_today"]), (5, Some(1000), Some(995)));
    let again = deployment
        .must(&admin, "GET", &of_tenant(&tenant), None)
        .await;
    assert_eq!(part(&again["calls_today"]), (5, Some(1000), Some(995)));
    let midnight = ends(&usage["calls_today"]);
    assert_eq!(midnight.time(), time::Time::MIDNIGHT);
    let left = midnight - Now::read().timestamp();
    assert!(left > time::Duration::ZERO && left <= time::Duration::DAY);

    let usage = deployment
        .must(&admin, "GET", &of_agent(&tenant), None)
        .await;
    assert_eq!(
        part(&usage["tokens_this_month"]),
        (3, Some(10_000), Some(9_997))
    );
    let (used, limit, left) = part(&usage["requests_this_minute"]);
    assert!(
        used <= 3 && limit == Some(100) && left == Some(100 - used),
        "{usage}"
    );
    let month = ends(&usage["tokens_this_month"]);
    assert_eq!((month.day(), month.time()), (1, time::Time::MIDNIGHT));

    // The operator sees it too, and its own call is its own.
    let operator = deployment.token(&deployment.operator).await;
    let usage = deployment
        .must(&operator, "GET", &of_tenant(&tenant), None)
        .await;
    assert_eq!(part(&usage["calls_today"]).0, 6);
    // Without a limit nothing is left nor gone.
    let path = format!("/tenants/{}", tenant.org_id);
    let up = Some(json!({ "tier": "enterprise" }));
    deployment.must(&operator, "PATCH", &path, up).await;
    let usage = deployment
        .must(&operator, "GET", &of_tenant(&tenant), None)
        .await;
    assert_eq!(part(&usage["calls_today"]), (6, None, None));

    let other = deployment.tenant("free").await;
    let stranger = deployment.token(&other.administrator).await;
    for path in [of_tenant(&tenant), of_agent(&tenant)] {
        let (status, _) = deployment.call(&stranger, "GET", &path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let (status, _) = deployment
        .call(&operator, "GET", &of_agent(&tenant), None)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another tenant's agent");
    let none = deployment
        .agent(&stranger, "none", &["resources:read"])
        .await;
    let none = deployment.token(&none).await;
    for path in [of_tenant(&other), of_agent(&other)] {
        let (status, _) = deployment.call(&none, "GET", &path, None).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn what_is_left_is_what_is_still_admitted() {
    let deployment = Deployment::start().await;
    deployment
        .set_tier("free", "tokens_per_month", Some(5))
        .await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    deployment.token(&tenant.agent).await;
    let usage = deployment
        .must(&admin, "GET", &of_agent(&tenant), None)
        .await;
    let (used, limit, left) = part(&usage["tokens_this_month"]);
    assert_eq!((used, limit), (1, Some(5)));
    for _ in 0..left.unwrap() {
        deployment.token(&tenant.agent).await;
    }
    for _ in 0..3 {
        let refused = deployment.ask_token(&tenant.agent, &[]).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    let usage = deployment
        .must(&admin, "GET", &of_agent(&tenant), None)
        .await;
    assert_eq!(part(&usage["tokens_this_month"]), (5, Some(5), Some(0)));
    deployment.stop().await;
}

#[tokio::test]
async fn after_the_counters_were_lost_no_less_is_shown_than_was_used() {
    let mut redis = OwnRedis::start().await;
    let url = redis.url();
    let settings = [("REDIS_URL", url.as_str())];
    let deployment = Deployment::start_with(Algorithm::EdDSA, &settings).await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    for _ in 0..20 {
        deployment.token(&tenant.agent).await;
    }
    let read = async |path: String| {
        for _ in 0..100 {
            let (status, usage) = deployment.call(&admin, "GET", &path, None).await;
            if status == StatusCode::OK {
                return usage;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{usage}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the counters do not come back");
    };
    let before = [
        read(of_tenant(&tenant)).await,
        read(of_agent(&tenant)).await,
    ];
    redis.lose_everything().await;
    let after = [
        read(of_tenant(&tenant)).await,
        read(of_agent(&tenant)).await,
    ];
    for (n, name, block) in [
        (0, "calls_today", 15),
        (0, "tokens_today", 15),
        (1, "tokens_this_month", 156),
    ] {
        let (was, is) = (part(&before[n][name]).0, part(&after[n][name]).0);
        // The calls that asked meanwhile are used too.
        assert!(
            is >= was && is <= was + block + 102,
            "{name}: {was}, then {is}"
        );
        assert_eq!(
            part(&after[n][name]).2,
            Some(part(&after[n][name]).1.unwrap() - is)
        );
    }
    deployment.stop().await;
    redis.stop().await;
}
