//! What a tenant's administrators set for themselves.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Deployment, Tenant, claims, text};

async fn life(deployment: &Deployment, client: &Client) -> u64 {
    let claims = claims(&deployment.token(client).await);
    claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
}

fn settings(tenant: &Tenant) -> String {
    format!("/tenants/{}/settings", tenant.org_id)
}

#[tokio::test]
async fn a_tenants_own_life_of_tokens_narrows_its_tiers_and_never_widens_it() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = settings(&tenant);
    let read = deployment.must(&admin, "GET", &path, None).await;
    assert_eq!(read["token_lifetime_s"], Value::Null);
    assert_eq!(life(&deployment, &tenant.agent).await, 3_600);
    for (set, lasts) in [
        (json!(60), 60),
        (json!(86_400), 3_600),
        (json!(null), 3_600),
    ] {
        let body = json!({ "token_lifetime_s": set });
        let answer = deployment.must(&admin, "PATCH", &path, Some(body)).await;
        assert_eq!(answer["token_lifetime_s"], set);
        assert_eq!(life(&deployment, &tenant.agent).await, lasts, "{set}");
    }
    assert_eq!(deployment.events("tenant.settings_changed").await, 3);
    // A change of nothing is none.
    let (_, before, _) = deployment.call_with(&admin, "GET", &path, &[], None).await;
    for body in [json!({}), json!({ "token_lifetime_s": null })] {
        let (status, headers, _) = deployment
            .call_with(&admin, "PATCH", &path, &[("if-match", "*")], Some(body))
            .await;
        assert_eq!(
            (status, &headers["etag"]),
            (StatusCode::OK, &before["etag"])
        );
    }
    assert_eq!(deployment.events("tenant.settings_changed").await, 3);
    let stale = [("if-match", "\"old\"")];
    let body = Some(json!({ "token_lifetime_s": 1 }));
    let (status, ..) = deployment
        .call_with(&admin, "PATCH", &path, &stale, body)
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    for bad in [
        json!({ "token_lifetime_s": 0 }),
        json!({ "token_lifetime_s": 86_401 }),
        json!({ "token_lifetime_s": -1 }),
        json!({ "token_lifetime_s": "60" }),
        json!({ "default_resource": null }),
        json!({ "default_resource": "x" }),
        json!({ "tier": "pro" }),
    ] {
        let (status, answer) = deployment
            .call(&admin, "PATCH", &path, Some(bad.clone()))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad} {answer}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn the_default_resource_is_what_a_token_is_for_where_nobody_says() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let other = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let second = format!("{}/2", tenant.resource);
    let new = json!({ "identifier": second, "scopes": ["files:read"] });
    let made = deployment
        .must(&admin, "POST", "/resources", Some(new))
        .await;
    let made = text(&made, "resource_id");
    let path = settings(&tenant);
    let first = text(
        &deployment.must(&admin, "GET", &path, None).await,
        "default_resource",
    );
    let audience = async || claims(&deployment.token(&tenant.agent).await)["aud"].clone();
    assert_eq!(audience().await, json!(tenant.resource));
    let body = json!({ "default_resource": made });
    let answer = deployment.must(&admin, "PATCH", &path, Some(body)).await;
    assert_eq!(answer["default_resource"], json!(made));
    assert_eq!(audience().await, json!(second));
    let shown = format!("/resources/{first}");
    let shown = deployment.must(&admin, "GET", &shown, None).await;
    assert_eq!(shown["default"], false);

    // Another tenant's resource is as good as none, and changes nothing.
    let stranger = deployment.token(&other.administrator).await;
    let theirs = deployment
        .must(&stranger, "GET", &settings(&other), None)
        .await;
    let body = json!({ "default_resource": theirs["default_resource"], "token_lifetime_s": 9 });
    let (status, _) = deployment.call(&admin, "PATCH", &path, Some(body)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(deployment.must(&admin, "GET", &path, None).await, answer);
    assert_eq!(audience().await, json!(second));
    deployment.stop().await;
}

#[tokio::test]
async fn settings_are_a_tenants_own_and_need_the_scopes_of_policies() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let other = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = settings(&tenant);
    let body = Some(json!({ "token_lifetime_s": 60 }));
    for stranger in [&deployment.operator, &other.administrator] {
        let token = deployment.token(stranger).await;
        for (method, body) in [("GET", None), ("PATCH", body.clone())] {
            let (status, _) = deployment.call(&token, method, &path, body).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
        }
    }
    let reader = deployment.agent(&admin, "reader", &["policies:read"]).await;
    let reader = deployment.token(&reader).await;
    deployment.must(&reader, "GET", &path, None).await;
    let (status, _) = deployment.call(&reader, "PATCH", &path, body).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let none = deployment.agent(&admin, "none", &["tenants:read"]).await;
    let none = deployment.token(&none).await;
    let (status, _) = deployment.call(&none, "GET", &path, None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    deployment.stop().await;
}
