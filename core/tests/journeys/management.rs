//! Tenants, resources, agents and credentials: made, read, changed and ended.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Deployment, text};

#[tokio::test]
async fn an_operator_makes_a_tenant_and_its_administrator_makes_the_rest() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    let made = deployment
        .must(
            &operator,
            "POST",
            "/tenants",
            Some(json!({ "name": "Acme", "tier": "pro" })),
        )
        .await;
    let org_id = text(&made, "org_id");
    assert_eq!(
        (&made["tier"], &made["status"]),
        (&json!("pro"), &json!("active"))
    );

    let administrator = Client::from_json(&made["administrator"]);
    let admin = deployment.token(&administrator).await;
    assert_eq!(
        deployment
            .must(&admin, "GET", &format!("/tenants/{org_id}"), None)
            .await["name"],
        "Acme"
    );
    let (status, _) = deployment
        .call(
            &admin,
            "PATCH",
            &format!("/tenants/{org_id}"),
            Some(json!({ "tier": "enterprise" })),
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let agent = json!({
        "name": "crawler", "agent_type": "crawler", "version": "2.1.0", "capabilities": ["web"],
        "owner": "team-a", "deployment_env": "production", "scopes": ["agents:read"],
    });
    let agent = deployment
        .must(&admin, "POST", "/agents", Some(agent))
        .await;
    let path = format!("/agents/{}", text(&agent, "agent_id"));
    assert_eq!(agent["status"], "active");
    assert_eq!(text(&agent, "agent_id").as_bytes()[14], b'7', "a UUIDv7");
    assert_eq!(deployment.must(&admin, "GET", &path, None).await, agent);
    let changed = deployment
        .must(&admin, "PATCH", &path, Some(json!({ "version": "2.2.0" })))
        .await;
    assert_eq!(
        (&changed["version"], &changed["owner"]),
        (&json!("2.2.0"), &json!("team-a"))
    );

    let credentials = format!("{path}/credentials");
    let issued = deployment.must(&admin, "POST", &credentials, None).await;
    assert!(text(&issued, "client_secret").starts_with("agentidp_cs_"));
    let credential = format!("{credentials}/{}", text(&issued, "credential_id"));
    let shown = deployment.must(&admin, "GET", &credential, None).await;
    assert_eq!(shown["status"], "active");
    assert!(shown.get("client_secret").is_none());
    let client = Client::from_json(&issued);
    assert_eq!(
        deployment.ask_token(&client, &[]).await.status(),
        StatusCode::OK
    );
    deployment.must(&admin, "DELETE", &credential, None).await;
    assert_eq!(
        deployment.must(&admin, "GET", &credential, None).await["status"],
        "revoked"
    );
    assert_eq!(
        deployment.ask_token(&client, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );

    deployment.must(&admin, "DELETE", &path, None).await;
    assert_eq!(
        deployment.must(&admin, "GET", &path, None).await["status"],
        "decommissioned"
    );
    let (status, _) = deployment
        .call(&admin, "PATCH", &path, Some(json!({ "status": "active" })))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    deployment.stop().await;
}

#[tokio::test]
async fn a_name_is_taken_once_and_an_identifier_once_in_the_deployment() {
    let deployment = Deployment::start().await;
    let (one, other) = (
        deployment.tenant("free").await,
        deployment.tenant("free").await,
    );
    let admin = deployment.token(&one.administrator).await;
    let (status, answer) = deployment
        .call(&admin, "POST", "/agents", Some(json!({ "name": "worker" })))
        .await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("CONFLICT"))
    );
    let (status, _) = deployment
        .call(
            &admin,
            "POST",
            "/resources",
            Some(json!({ "identifier": other.resource, "scopes": [] })),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);

    // Sixty-four at once: one of them has made it.
    let attempts = (0..64)
        .map(|_| deployment.call(&admin, "POST", "/agents", Some(json!({ "name": "twin" }))));
    let made = futures_util::future::join_all(attempts).await;
    assert_eq!(
        made.iter()
            .filter(|(status, _)| *status == StatusCode::CREATED)
            .count(),
        1
    );
    assert!(
        made.iter()
            .all(|(status, _)| matches!(status.as_u16(), 201 | 409))
    );
    // A decommissioned agent gives its name up.
    deployment
        .must(&admin, "DELETE", &format!("/agents/{}", one.agent.id), None)
        .await;
    deployment
        .must(&admin, "POST", "/agents", Some(json!({ "name": "worker" })))
        .await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_tenant_has_one_default_resource_at_any_time() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let new = json!({ "identifier": format!("{}/2", tenant.resource), "scopes": ["mail:read"] });
    let second = deployment
        .must(&admin, "POST", "/resources", Some(new))
        .await;
    assert_eq!(second["default"], false);
    let all = deployment.must(&admin, "GET", "/resources", None).await;
    let first = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|resource| resource["default"] == true)
        .unwrap()
        .clone();
    let path = |resource: &Value| format!("/resources/{}", text(resource, "resource_id"));
    assert_eq!(
        deployment
            .call(&admin, "DELETE", &path(&first), None)
            .await
            .0,
        StatusCode::CONFLICT
    );
    assert_eq!(
        deployment
            .call(
                &admin,
                "PATCH",
                &path(&first),
                Some(json!({ "default": false }))
            )
            .await
            .0,
        StatusCode::CONFLICT
    );
    deployment
        .must(
            &admin,
            "PATCH",
            &path(&second),
            Some(json!({ "default": true })),
        )
        .await;
    assert_eq!(
        deployment.must(&admin, "GET", &path(&first), None).await["default"],
        false
    );
    deployment.must(&admin, "DELETE", &path(&first), None).await;
    assert_eq!(
        deployment.call(&admin, "GET", &path(&first), None).await.0,
        StatusCode::NOT_FOUND
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_insertions_hide_nothing() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    for n in 0..7 {
        deployment
            .must(
                &admin,
                "POST",
                "/agents",
                Some(json!({ "name": format!("a{n}") })),
            )
            .await;
    }
    let mut seen = Vec::new();
    let mut path = "/agents?limit=3".to_owned();
    loop {
        let page = deployment.must(&admin, "GET", &path, None).await;
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|agent| text(agent, "name")),
        );
        deployment
            .must(
                &admin,
                "POST",
                "/agents",
                Some(json!({ "name": format!("late{}", seen.len()) })),
            )
            .await;
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/agents?limit=3&cursor={cursor}");
        assert!(seen.len() < 40);
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len(), "nothing twice: {seen:?}");
    assert!(
        (0..7).all(|n| seen.contains(&format!("a{n}"))),
        "nothing hidden: {seen:?}"
    );
    for bad in [
        "/agents?limit=0",
        "/agents?limit=201",
        "/agents?limit=x",
        "/agents?cursor=!",
        "/agents?page=2",
    ] {
        assert_eq!(
            deployment.call(&admin, "GET", bad, None).await.0,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    deployment.stop().await;
}
