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
async fn a_value_that_cannot_be_is_refused_with_the_name_of_its_member() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    for (path, body, field) in [
        ("/agents", json!({}), "name"),
        ("/agents", json!({ "name": "" }), "name"),
        ("/agents", json!({ "name": "a\nb" }), "name"),
        ("/agents", json!({ "name": "x".repeat(129) }), "name"),
        ("/agents", json!({ "name": 1 }), "body"),
        ("/agents", json!({ "name": "a", "colour": "red" }), "body"),
        (
            "/agents",
            json!({ "name": "a", "status": "suspended" }),
            "status",
        ),
        (
            "/agents",
            json!({ "name": "a", "scopes": ["mail:read"] }),
            "scopes",
        ),
        (
            "/agents",
            json!({ "name": "a", "scopes": ["files:read", "files:read"] }),
            "scopes",
        ),
        (
            "/resources",
            json!({ "identifier": "api", "scopes": [] }),
            "identifier",
        ),
        (
            "/resources",
            json!({ "identifier": deployment.issuer(), "scopes": [] }),
            "identifier",
        ),
        (
            "/resources",
            json!({ "identifier": "https://a.example", "scopes": ["agents:read"] }),
            "scopes",
        ),
        (
            "/resources",
            json!({ "identifier": "https://a.example", "scopes": ["everything"] }),
            "scopes",
        ),
    ] {
        let (status, answer) = deployment
            .call(&admin, "POST", path, Some(body.clone()))
            .await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("VALIDATION_ERROR")),
            "{body}"
        );
        assert_eq!(answer["details"][0]["field"], field, "{body} {answer}");
    }
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    for end in ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let (status, answer) = deployment
            .call(
                &admin,
                "POST",
                &credentials,
                Some(json!({ "expires_at": end })),
            )
            .await;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("expires_at"))
        );
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_as_it_must_be_is_unreadable() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let deep = format!(
        r#"{{"name":{}{}}}"#,
        "[".repeat(50_000 / 2),
        "]".repeat(50_000 / 2)
    );
    for (content_type, body, expected) in [
        ("application/json", "{".to_owned(), 400),
        (
            "application/json",
            r#"{"name":"a","name":"b"}"#.to_owned(),
            400,
        ),
        ("application/json", r#"["a"]"#.to_owned(), 400),
        ("application/json", deep, 400),
        ("text/plain", r#"{"name":"a"}"#.to_owned(), 400),
        (
            "application/json",
            format!(r#"{{"name":"{}"}}"#, "a".repeat(70_000)),
            413,
        ),
    ] {
        let answer = deployment
            .http
            .post(format!("{}/api/v1/agents", deployment.url))
            .bearer_auth(&admin)
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), expected);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(
            body["code"],
            if expected == 413 {
                "PAYLOAD_TOO_LARGE"
            } else {
                "INVALID_REQUEST"
            }
        );
    }
    let bytes = deployment
        .http
        .post(format!("{}/api/v1/agents", deployment.url))
        .bearer_auth(&admin)
        .header("content-type", "application/json")
        .body(&b"{\"name\":\"\xff\"}"[..])
        .send()
        .await
        .unwrap();
    assert_eq!(bytes.status(), StatusCode::BAD_REQUEST);
    let patch = deployment
        .http
        .put(format!("{}/api/v1/agents", deployment.url))
        .send()
        .await
        .unwrap();
    assert_eq!(patch.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(patch.headers().contains_key("allow"));
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
