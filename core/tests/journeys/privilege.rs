//! Nobody grants or gets more than it holds.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, text};

/// What a tenant's first administrator holds.
const MANAGEMENT: [&str; 11] = [
    "agents:read",
    "agents:write",
    "audit:read",
    "credentials:read",
    "credentials:write",
    "policies:read",
    "policies:write",
    "resources:read",
    "resources:write",
    "tenants:read",
    "tokens:introspect",
];

#[tokio::test]
async fn nobody_grants_or_gets_more_than_it_holds() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    // The operator's scope is nobody else's to give.
    let (status, _) = deployment
        .call(
            &admin,
            "POST",
            "/agents",
            Some(json!({ "name": "x", "scopes": ["tenants:write"] })),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let small = deployment
        .agent(&admin, "small", &["agents:write", "credentials:write"])
        .await;
    let small_token = deployment.token(&small).await;
    let (status, _) = deployment
        .call(
            &small_token,
            "POST",
            "/agents",
            Some(json!({ "name": "y", "scopes": ["resources:write"] })),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = deployment
        .call(
            &small_token,
            "PATCH",
            &format!("/agents/{}", small.id),
            Some(json!({ "scopes": ["agents:write", "resources:write"] })),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = deployment
        .call(
            &small_token,
            "POST",
            &format!("/agents/{}/credentials", tenant.administrator.id),
            Some(json!({})),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // A token that was narrowed is as narrow as it says.
    let narrowed: Value = deployment
        .ask_token(&tenant.administrator, &[("scope", "agents:read")])
        .await
        .json()
        .await
        .unwrap();
    let (status, answer) = deployment
        .call(
            &text(&narrowed, "access_token"),
            "POST",
            "/agents",
            Some(json!({ "name": "z" })),
        )
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::FORBIDDEN, &json!("FORBIDDEN"))
    );
    // Tokens that name a scope which was taken away are dead; new ones are not.
    let path = format!("/agents/{}", small.id);
    let fewer = json!({ "scopes": ["agents:write"] });
    deployment.must(&admin, "PATCH", &path, Some(fewer)).await;
    let (status, _) = deployment
        .call(
            &small_token,
            "POST",
            "/agents",
            Some(json!({ "name": "z" })),
        )
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let small_token = deployment.token(&small).await;
    deployment
        .must(
            &small_token,
            "POST",
            "/agents",
            Some(json!({ "name": "z" })),
        )
        .await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_lesser_administrator_neither_stops_nor_becomes_a_greater_one() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let lesser = deployment
        .agent(
            &admin,
            "lesser",
            &["agents:write", "credentials:read", "credentials:write"],
        )
        .await;
    let lesser = deployment.token(&lesser).await;
    let greater = format!("/agents/{}", tenant.administrator.id);
    let credentials = deployment
        .must(&admin, "GET", &format!("{greater}/credentials"), None)
        .await;
    let credential = format!(
        "{greater}/credentials/{}",
        text(&credentials["data"][0], "credential_id")
    );
    for (method, path, body) in [
        ("PATCH", greater.as_str(), Some(json!({ "scopes": [] }))),
        ("PATCH", &greater, Some(json!({ "status": "suspended" }))),
        ("DELETE", &greater, None),
        ("DELETE", &credential, None),
        ("POST", &format!("{greater}/credentials"), None),
        ("POST", &format!("{credential}/rotate"), None),
    ] {
        assert_eq!(
            deployment.call(&lesser, method, path, body).await.0,
            StatusCode::FORBIDDEN,
            "{method} {path}"
        );
    }
    // Who can neither grant nor hold a resource's scopes gets no secret with them.
    let clerk = deployment
        .agent(&admin, "clerk", &["credentials:write"])
        .await;
    let clerk = deployment.token(&clerk).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    assert_eq!(
        deployment.call(&clerk, "POST", &path, None).await.0,
        StatusCode::FORBIDDEN
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_tenant_keeps_one_administrator_at_least() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let first = format!("/agents/{}", tenant.administrator.id);
    for (method, body) in [
        ("DELETE", None),
        ("PATCH", Some(json!({ "status": "suspended" }))),
        ("PATCH", Some(json!({ "scopes": ["agents:read"] }))),
    ] {
        assert_eq!(
            deployment.call(&admin, method, &first, body).await.0,
            StatusCode::CONFLICT
        );
    }
    let second = deployment.agent(&admin, "second", &MANAGEMENT).await;
    let second_token = deployment.token(&second).await;
    // Each ends the other, at once: one is left.
    let second = format!("/agents/{}", second.id);
    let (one, other) = tokio::join!(
        deployment.call(&admin, "DELETE", &second, None),
        deployment.call(&second_token, "DELETE", &first, None),
    );
    let ended = [one.0, other.0]
        .iter()
        .filter(|status| **status == StatusCode::NO_CONTENT)
        .count();
    assert_eq!(ended, 1, "{one:?} {other:?}");
    deployment.stop().await;
}
