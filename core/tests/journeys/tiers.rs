//! Tiers: an operator makes them, changes their numbers and takes them away.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Deployment, claims, text};

/// The numbers of a tier that holds nobody to anything but `rpm`.
fn numbers(rpm: Value) -> Value {
    json!({
        "calls_per_day": null, "tokens_per_day": null, "tokens_per_month": null,
        "requests_per_minute": rpm, "token_lifetime_s": 600, "policy_bytes": 1000,
        "samples_per_day": 5,
    })
}

#[tokio::test]
async fn an_operator_adds_a_tier_and_a_tenant_on_it_is_held_to_its_numbers() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    let listed = deployment.must(&operator, "GET", "/tiers", None).await;
    let names: Vec<String> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tier| text(tier, "tier"))
        .collect();
    assert_eq!(names, ["enterprise", "free", "platform", "pro"]);
    let free = deployment.must(&operator, "GET", "/tiers/free", None).await;
    for (number, is) in [
        ("calls_per_day", json!(1000)),
        ("tokens_per_day", json!(1000)),
        ("tokens_per_month", json!(10000)),
        ("requests_per_minute", json!(100)),
        ("token_lifetime_s", json!(3600)),
    ] {
        assert_eq!(free[number], is, "{number}");
    }

    let new = json!({ "name": "Acme", "tier": "gold" });
    let (status, answer) = deployment
        .call(&operator, "POST", "/tenants", Some(new.clone()))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["details"][0]["field"], "tier", "{answer}");

    let gold = json!({
        "calls_per_day": 4, "tokens_per_day": 2, "tokens_per_month": null,
        "requests_per_minute": 77, "token_lifetime_s": 600,
    });
    let (status, made) = deployment
        .call(&operator, "PUT", "/tiers/gold", Some(gold.clone()))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["policy_bytes"], &made["samples_per_day"]),
        (&json!(1_048_576), &json!(10_000)),
        "what is not said is as in every tier"
    );
    let enterprise = deployment
        .must(&operator, "GET", "/tiers/enterprise", None)
        .await;
    assert_eq!(made["module_digest"], enterprise["module_digest"]);
    let (status, same) = deployment
        .call(&operator, "PUT", "/tiers/gold", Some(gold))
        .await;
    assert_eq!((status, &same), (StatusCode::OK, &made));

    let tenant = deployment
        .must(&operator, "POST", "/tenants", Some(new))
        .await;
    assert_eq!(tenant["tier"], "gold");
    let administrator = Client::from_json(&tenant["administrator"]);
    let answer = deployment.ask_token(&administrator, &[]).await;
    assert_eq!(answer.headers()["x-ratelimit-limit"], "77");
    let token = text(&answer.json().await.unwrap(), "access_token");
    let claims = claims(&token);
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(
        (&claims["tier"], life, &claims["agentidp"]["rpm"]),
        (&json!("gold"), 600, &json!(77))
    );
    deployment.token(&administrator).await;
    let spent = deployment.ask_token(&administrator, &[]).await;
    assert_eq!(spent.status(), StatusCode::TOO_MANY_REQUESTS);
    for n in 1..=5 {
        let (status, answer) = deployment.call(&token, "GET", "/agents", None).await;
        let within = n <= 4;
        assert_eq!(status == StatusCode::OK, within, "{n}: {status} {answer}");
    }
    for action in ["tier.created", "tier.changed"] {
        let wanted = i64::from(action == "tier.created");
        assert_eq!(deployment.events(action).await, wanted, "{action}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_tier_goes_when_nobody_is_on_it_and_some_never_go() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    let put = async |tier: &str, body: Value| {
        let path = format!("/tiers/{tier}");
        deployment.call(&operator, "PUT", &path, Some(body)).await.0
    };
    let delete = async |tier: &str| {
        let path = format!("/tiers/{tier}");
        deployment.call(&operator, "DELETE", &path, None).await.0
    };
    assert_eq!(put("gold", numbers(json!(10))).await, StatusCode::CREATED);
    let tenant = deployment.tenant("gold").await;
    assert_eq!(delete("gold").await, StatusCode::CONFLICT);
    let path = format!("/tenants/{}", tenant.org_id);
    let free = Some(json!({ "tier": "free" }));
    deployment.must(&operator, "PATCH", &path, free).await;
    assert_eq!(delete("gold").await, StatusCode::NO_CONTENT);
    assert_eq!(delete("gold").await, StatusCode::NOT_FOUND);
    let (status, answer) = deployment
        .call(&operator, "PATCH", &path, Some(json!({ "tier": "gold" })))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    for tier in ["free", "pro", "enterprise", "platform"] {
        assert_eq!(delete(tier).await, StatusCode::CONFLICT, "{tier}");
    }
    assert_eq!(
        put("platform", numbers(json!(1))).await,
        StatusCode::CONFLICT
    );
    for tier in ["platform", "nosuch", "", "free\u{0}"] {
        let (status, answer) = deployment
            .call(&operator, "PATCH", &path, Some(json!({ "tier": tier })))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{tier:?}");
        assert_eq!(answer["details"][0]["field"], "tier", "{tier:?} {answer}");
    }
    for bad in ["Gold", "a%20b", "%00", "-a", &"a".repeat(33)] {
        let status = put(bad, numbers(json!(1))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert_eq!(delete(bad).await, StatusCode::NOT_FOUND, "{bad}");
    }
    for (member, bad) in [
        ("calls_per_day", json!(-1)),
        ("calls_per_day", json!("1")),
        ("requests_per_minute", json!(2_147_483_648_u64)),
        ("token_lifetime_s", json!(0)),
        ("token_lifetime_s", json!(86_401)),
        ("token_lifetime_s", json!(null)),
        ("policy_bytes", json!(1_048_577)),
        ("samples_per_day", json!(100_001)),
        ("module_digest", json!("x")),
    ] {
        let mut body = numbers(json!(1));
        body[member] = bad.clone();
        let status = put("silver", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{member} {bad}");
    }
    let mut short = numbers(json!(1));
    short.as_object_mut().unwrap().remove("calls_per_day");
    assert_eq!(put("silver", short).await, StatusCode::UNPROCESSABLE_ENTITY);
    let admin = deployment.token(&tenant.administrator).await;
    for (method, path) in [
        ("GET", "/tiers"),
        ("GET", "/tiers/free"),
        ("PUT", "/tiers/free"),
        ("DELETE", "/tiers/free"),
    ] {
        let body = (method == "PUT").then(|| numbers(json!(1)));
        let (status, _) = deployment.call(&admin, method, path, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    let deleted = deployment.events("tier.deleted").await;
    assert_eq!(deleted, 1);
    deployment.stop().await;
}

#[tokio::test]
async fn a_tier_is_changed_in_the_version_that_was_read() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    let put = async |tag: &str, rpm: i32| {
        let headers = [("if-match", tag)];
        let body = Some(numbers(json!(rpm)));
        let (status, headers, _) = deployment
            .call_with(&operator, "PUT", "/tiers/gold", &headers, body)
            .await;
        let tag = headers
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned());
        (status, tag)
    };
    // What is not there has no version.
    assert_eq!(put("*", 1).await.0, StatusCode::PRECONDITION_FAILED);
    let (status, headers, _) = deployment
        .call_with(
            &operator,
            "PUT",
            "/tiers/gold",
            &[],
            Some(numbers(json!(1))),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let first = headers["etag"].to_str().unwrap().to_owned();
    let (status, second) = put(&first, 2).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(put(&first, 3).await.0, StatusCode::PRECONDITION_FAILED);
    let known = second.unwrap();
    let (status, ..) = deployment
        .call_with(
            &operator,
            "GET",
            "/tiers/gold",
            &[("if-none-match", &known)],
            None,
        )
        .await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    let (status, ..) = deployment
        .call_with(
            &operator,
            "DELETE",
            "/tiers/gold",
            &[("if-match", &first)],
            None,
        )
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    // Sixty-four at once: one of them has made it.
    let body = Some(numbers(json!(9)));
    let attempts =
        (0..64).map(|_| deployment.call(&operator, "PUT", "/tiers/silver", body.clone()));
    let answers = futures_util::future::join_all(attempts).await;
    let made = |wanted| {
        answers
            .iter()
            .filter(|(status, _)| *status == wanted)
            .count()
    };
    assert_eq!((made(StatusCode::CREATED), made(StatusCode::OK)), (1, 63));
    assert_eq!(deployment.events("tier.created").await, 2);
    deployment.stop().await;
}

#[tokio::test]
async fn a_tier_that_is_lowered_holds_the_tokens_of_all_its_tenants_within_two_seconds() {
    let mut deployment = Deployment::start().await;
    let tenants = [
        deployment.tenant("enterprise").await,
        deployment.tenant("enterprise").await,
        deployment.tenant("pro").await,
    ];
    // They are a hundred thousand more; it is one entry for all of them.
    sqlx::query(
        "WITH made AS (
             INSERT INTO tenants (org_id, name, status, platform, created_at, updated_at)
             SELECT gen_random_uuid(), 'many', 'active', false, now(), now()
               FROM generate_series(1, 100000) RETURNING org_id)
         INSERT INTO tenant_tiers SELECT org_id, 'enterprise', now() FROM made",
    )
    .execute(&deployment.pool)
    .await
    .unwrap();
    let served: Vec<_> = tenants.iter().collect();
    let edge = deployment.start_edge(&served, "").await;
    let mut tokens = Vec::new();
    for tenant in &tenants {
        tokens.push(deployment.token(&tenant.agent).await);
    }
    let limit = async |token: &str| {
        let answer = deployment
            .http
            .get(format!("{edge}/verify"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let limit = &answer.headers()["x-ratelimit-limit"];
        limit.to_str().unwrap().parse::<u32>().unwrap()
    };
    for (token, carried) in tokens.iter().zip([10_000, 10_000, 1_000]) {
        assert_eq!(limit(token).await, carried);
    }
    let operator = deployment.token(&deployment.operator).await;
    let begun = Instant::now();
    let body = Some(numbers(json!(55)));
    deployment
        .must(&operator, "PUT", "/tiers/enterprise", body)
        .await;
    println!("lowered for 100,000 tenants in {:?}", begun.elapsed());
    let answered = Instant::now();
    for token in &tokens[..2] {
        while limit(token).await != 55 {
            let waited = answered.elapsed();
            assert!(waited < Duration::from_secs(2), "the cap has not come");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(limit(&tokens[2]).await, 1_000, "another tier's tokens stay");
    // An upgrade begins with the next token.
    let body = Some(numbers(json!(9_000)));
    deployment
        .must(&operator, "PUT", "/tiers/enterprise", body)
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let upgraded = deployment.token(&tenants[0].agent).await;
    assert_eq!(limit(&upgraded).await, 9_000);
    assert_eq!(limit(&tokens[0]).await, 55);
    deployment.stop().await;
}
