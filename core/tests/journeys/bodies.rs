//! What a bad body gets: what cannot be read, and what cannot be.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, raw};

#[tokio::test]
async fn a_value_that_cannot_be_is_refused_with_the_name_of_its_member() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    for (path, body, field) in [
        ("/agents", json!({}), "name"),
        ("/agents", json!({ "name": "" }), "name"),
        ("/agents", json!({ "name": "a\nb" }), "name"),
        (
            "/agents",
            json!({ "name": "admin\u{200b}istrator" }),
            "name",
        ),
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
async fn a_request_has_one_host_and_a_bounded_head() {
    let deployment = Deployment::start().await;
    for (head, expected) in [
        ("Host: a\r\n".to_owned(), 200),
        (String::new(), 400),
        ("Host: a\r\nHost: b\r\n".to_owned(), 400),
        (format!("Host: a\r\nX: {}\r\n", "a".repeat(300_000)), 431),
    ] {
        let request = format!("GET /health HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
        assert_eq!(raw(&deployment.url, &request).await.0, expected);
    }
    deployment.stop().await;
}
