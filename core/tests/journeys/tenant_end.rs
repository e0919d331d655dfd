//! A tenant's end: out of service at once, deleted when its time of grace is over.

use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::support::guest::denying;
use crate::support::{Deployment, Tenant, status_at, text};

fn path(tenant: &Tenant) -> String {
    format!("/tenants/{}", tenant.org_id)
}

/// How many rows the tenant has in all tables but the record's and the revocations.
async fn rows(deployment: &Deployment, org_id: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM tenants WHERE org_id = $1)
              + (SELECT count(*) FROM tenant_tiers WHERE org_id = $1)
              + (SELECT count(*) FROM resources WHERE org_id = $1)
              + (SELECT count(*) FROM agents WHERE org_id = $1)
              + (SELECT count(*) FROM credentials WHERE org_id = $1)",
    )
    .bind(org_id.parse::<Uuid>().unwrap())
    .fetch_one(&deployment.pool)
    .await
    .unwrap()
}

/// Its time of grace is over.
async fn is_due(deployment: &Deployment, org_id: &str) {
    sqlx::query("UPDATE tenants SET deletes_at = now() - interval '1 second' WHERE org_id = $1")
        .bind(org_id.parse::<Uuid>().unwrap())
        .execute(&deployment.pool)
        .await
        .unwrap();
}

async fn is_gone(deployment: &Deployment, org_id: &str) {
    let begun = Instant::now();
    while rows(deployment, org_id).await > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it is still there"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_deleted_tenant_is_out_of_service_at_once_and_can_be_put_back_until_its_time() {
    let mut deployment = Deployment::start().await;
    let (tenant, other) = (
        deployment.tenant("pro").await,
        deployment.tenant("pro").await,
    );
    let edge = deployment.start_edge(&[&tenant, &other], "").await;
    let verify = format!("{edge}/verify");
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let token = deployment.token(&tenant.agent).await;
    assert_eq!(
        status_at(&deployment, &verify, &token).await,
        StatusCode::OK
    );

    let (status, answer) = deployment
        .call(&operator, "DELETE", &path(&tenant), None)
        .await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::ACCEPTED, &json!("deleting"))
    );
    let deletes_at = OffsetDateTime::parse(&text(&answer, "deletes_at"), &Rfc3339).unwrap();
    let left = deletes_at - Now::read().timestamp();
    assert!((29..=30).contains(&left.whole_days()), "{left}");
    assert_eq!(
        deployment
            .must(&operator, "GET", &path(&tenant), None)
            .await,
        answer
    );
    let listed = deployment
        .must(&operator, "GET", "/tenants?status=deleting", None)
        .await;
    assert_eq!(listed["data"], json!([answer]));
    // Asked for again, it is as it was.
    let (status, again) = deployment
        .call(&operator, "DELETE", &path(&tenant), None)
        .await;
    assert_eq!((status, &again), (StatusCode::ACCEPTED, &answer));
    assert_eq!(deployment.events("tenant.deletion_scheduled").await, 1);

    let refused = deployment.ask_token(&tenant.agent, &[]).await.status();
    assert_eq!(refused, StatusCode::BAD_REQUEST, "unauthorized_client");
    let (status, _) = deployment.call(&admin, "GET", "/agents", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let begun = Instant::now();
    while status_at(&deployment, &verify, &token).await != StatusCode::UNAUTHORIZED {
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the edge has not heard"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let suspended = Some(json!({ "status": "suspended" }));
    let answer = deployment
        .must(&operator, "PATCH", &path(&tenant), suspended)
        .await;
    assert_eq!(answer["status"], "suspended");
    assert_eq!(answer.get("deletes_at"), None);
    let refused = deployment.ask_token(&tenant.agent, &[]).await.status();
    assert_eq!(refused, StatusCode::BAD_REQUEST, "unauthorized_client");
    deployment
        .must(&operator, "DELETE", &path(&tenant), None)
        .await;
    let active = Some(json!({ "status": "active" }));
    let answer = deployment
        .must(&operator, "PATCH", &path(&tenant), active)
        .await;
    assert_eq!(answer["status"], "active");
    let new = deployment.token(&tenant.agent).await;
    let begun = Instant::now();
    while status_at(&deployment, &verify, &new).await != StatusCode::OK {
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "the edge has not heard"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        status_at(&deployment, &verify, &token).await,
        StatusCode::UNAUTHORIZED
    );
    deployment.stop().await;
}

#[tokio::test]
async fn when_the_time_is_over_all_but_the_record_is_gone_on_two_replicas_at_once() {
    let deployment = Deployment::start().await;
    let (tenant, other) = (
        deployment.tenant("enterprise").await,
        deployment.tenant("enterprise").await,
    );
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    deployment
        .put_policy(&tenant, &denying("No."), &[], "shadow")
        .await;
    // More than a few batches, and credentials that name each other.
    sqlx::query(
        "WITH made AS (
             INSERT INTO agents SELECT gen_random_uuid(), $1::uuid, 'bulk ' || n, 'custom', '1', '{}', '',
                    'development', 'active', '{}', now(), now() FROM generate_series(1, 3000) n
             RETURNING agent_id)
         INSERT INTO credentials (credential_id, agent_id, org_id, secret_sha256, expires_at, created_at)
         SELECT gen_random_uuid(), agent_id, $1::uuid, sha256('x'), now() + interval '1 day', now()
           FROM made",
    )
    .bind(&tenant.org_id)
    .execute(&deployment.pool)
    .await
    .unwrap();
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    for _ in 0..3 {
        let listed = deployment.must(&admin, "GET", &credentials, None).await;
        let newest = listed["data"].as_array().unwrap().last().unwrap().clone();
        let rotate = format!("{credentials}/{}/rotate", text(&newest, "credential_id"));
        let key = format!("\"{}\"", rand::random::<u64>());
        let headers = [("idempotency-key", key.as_str())];
        let (status, ..) = deployment
            .call_with(&admin, "POST", &rotate, &headers, Some(json!({})))
            .await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let recorded = "SELECT count(*) FROM audit_events WHERE org_id = $1";
    let events = async || -> i64 {
        sqlx::query_scalar(recorded)
            .bind(tenant.org_id.parse::<Uuid>().unwrap())
            .fetch_one(&deployment.pool)
            .await
            .unwrap()
    };
    deployment
        .must(&operator, "DELETE", &path(&tenant), None)
        .await;
    assert!(rows(&deployment, &tenant.org_id).await > 6_000);
    let before = events().await;
    is_due(&deployment, &tenant.org_id).await;
    for (method, body) in [
        ("PATCH", Some(json!({ "status": "active" }))),
        ("PATCH", Some(json!({ "name": "still here" }))),
    ] {
        let (status, _) = deployment
            .call(&operator, method, &path(&tenant), body)
            .await;
        assert!(
            matches!(status, StatusCode::CONFLICT | StatusCode::NOT_FOUND),
            "what is being deleted is not put back: {status}"
        );
    }
    // Each does its chores as it starts.
    let (one, another) = tokio::join!(deployment.replica(&[]), deployment.replica(&[]));
    is_gone(&deployment, &tenant.org_id).await;
    assert_eq!(deployment.events("tenant.deleted").await, 1);
    assert_eq!(events().await, before + 1, "the record is final");
    for at in [&deployment, &*one, &*another] {
        let (status, _) = at.call(&operator, "GET", &path(&tenant), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _) = at.call(&operator, "DELETE", &path(&tenant), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let refused = at.ask_token(&tenant.agent, &[]).await.status();
        assert_eq!(refused, StatusCode::UNAUTHORIZED);
        let (status, _) = at.call(&admin, "GET", "/agents", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM idempotency_keys k
          WHERE NOT EXISTS (SELECT FROM agents a WHERE a.agent_id = k.actor)",
    )
    .fetch_one(&deployment.pool)
    .await
    .unwrap();
    assert_eq!(kept, 0);
    // The neighbour has all that it had.
    let admin = deployment.token(&other.administrator).await;
    let agents = deployment.must(&admin, "GET", "/agents", None).await;
    assert_eq!(agents["data"].as_array().unwrap().len(), 2);
    one.stop().await;
    another.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn without_a_time_of_grace_a_tenant_goes_with_the_next_chores() {
    let settings = [("TENANT_GRACE_DAYS", "0")];
    let algorithm = agentidp_verify::Algorithm::EdDSA;
    let deployment = Deployment::start_with(algorithm, &settings).await;
    let tenant = deployment.tenant("free").await;
    let operator = deployment.token(&deployment.operator).await;
    deployment
        .must(&operator, "DELETE", &path(&tenant), None)
        .await;
    is_gone(&deployment, &tenant.org_id).await;
    let (status, _) = deployment
        .call(&operator, "GET", &path(&tenant), None)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    deployment.stop().await;
}

#[tokio::test]
async fn only_an_operator_ends_a_tenant_and_its_own_never_ends() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let (status, _) = deployment
        .call(&admin, "DELETE", &path(&tenant), None)
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let platform: Uuid = sqlx::query_scalar("SELECT org_id FROM tenants WHERE platform")
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    let own = format!("/tenants/{platform}");
    let (status, _) = deployment.call(&operator, "DELETE", &own, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let none = format!("/tenants/{}", Uuid::nil());
    let (status, _) = deployment.call(&operator, "DELETE", &none, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let stale = [("if-match", "\"old\"")];
    let (status, ..) = deployment
        .call_with(&operator, "DELETE", &path(&tenant), &stale, None)
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, answer) = deployment
        .call(
            &operator,
            "PATCH",
            &path(&tenant),
            Some(json!({ "status": "deleting" })),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let shown: Value = deployment
        .must(&operator, "GET", &path(&tenant), None)
        .await;
    assert_eq!(shown["status"], "active");
    deployment.stop().await;
}
