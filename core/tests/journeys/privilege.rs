//! Nobody grants or gets more than it holds.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, text};

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
    // A scope that was taken away is gone from tokens that still name it.
    deployment
        .must(
            &admin,
            "PATCH",
            &format!("/agents/{}", small.id),
            Some(json!({ "scopes": ["agents:write"] })),
        )
        .await;
    let (status, _) = deployment
        .call(
            &small_token,
            "POST",
            &format!("/agents/{}/credentials", small.id),
            Some(json!({})),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    deployment.stop().await;
}
