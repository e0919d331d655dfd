//! The edge before an origin: who is calling goes on, what the caller claims does
//! not, and what the edge does not know it does not let through.

use std::time::{Duration, Instant};

use agentidp_core::dev::EdgeSettings;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::stores::send;
use crate::support::{Deployment, free_port, status_at, text};

#[tokio::test]
async fn a_request_goes_on_with_the_callers_identity_and_without_what_the_caller_claimed() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    let answer = deployment
        .http
        .request(
            reqwest::Method::from_bytes(b"PROPFIND").unwrap(),
            format!("{edge}/some/path?x=1&y=%2f"),
        )
        .bearer_auth(&token)
        .header("x-agent-id", "admin")
        .header("X_Agent_Id", "admin")
        .header("x-org_id", "admin")
        .header("X-SCOPE", "tenants:write")
        .header("x-other", "kept")
        .body("the body")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-ratelimit-limit"], "10000");
    let echo: Value = answer.json().await.unwrap();
    assert_eq!(
        (
            &echo["method"],
            &echo["path"],
            &echo["query"],
            &echo["body"]
        ),
        (
            &json!("PROPFIND"),
            &json!("/some/path"),
            &json!("x=1&y=%2f"),
            &json!("the body")
        )
    );
    let headers = echo["headers"].as_object().unwrap();
    assert_eq!(headers["x-agent-id"], tenant.agent.id);
    assert_eq!(headers["x-org-id"], tenant.org_id);
    assert_eq!(headers["x-scope"], "files:read files:write");
    assert_eq!(headers["x-other"], "kept");
    assert!(!echo["headers"].to_string().contains("admin"));
    assert!(
        !headers.keys().any(|name| name.contains('_')),
        "{headers:?}"
    );

    let verified = deployment
        .http
        .get(format!("{edge}/verify"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(verified.headers()["x-agent-id"], tenant.agent.id.as_str());
    assert_eq!(verified.headers()["x-org-id"], tenant.org_id.as_str());
    assert_eq!(verified.headers()["x-scope"], "files:read files:write");
    assert_eq!(
        verified.json::<Value>().await.unwrap()["sub"],
        tenant.agent.id
    );
    let without = deployment
        .http
        .get(format!("{edge}/some/path"))
        .send()
        .await
        .unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    deployment.stop().await;
}

#[tokio::test]
async fn a_token_without_a_required_scope_is_told_every_scope_that_it_needs() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment
        .start_edge(&[&tenant], "files:read files:write")
        .await;
    let url = format!("{edge}/verify");
    let narrow: Value = deployment
        .ask_token(&tenant.agent, &[("scope", "files:read")])
        .await
        .json()
        .await
        .unwrap();
    let answer = deployment
        .http
        .get(&url)
        .bearer_auth(text(&narrow, "access_token"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        answer.headers()["www-authenticate"],
        format!(
            r#"Bearer realm="agentidp", error="insufficient_scope", error_description="Token lacks a scope that this call needs.", resource_metadata="{}/.well-known/oauth-protected-resource", scope="files:read files:write""#,
            tenant.resource
        )
    );
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "FORBIDDEN");
    assert_eq!(
        status_at(&deployment, &url, &deployment.token(&tenant.agent).await).await,
        StatusCode::OK
    );
    deployment.stop().await;
}

#[tokio::test]
async fn an_edge_that_has_never_reached_its_core_or_has_lost_it_admits_nobody() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    let nowhere = EdgeSettings {
        core_url: format!("http://127.0.0.1:{}", free_port()),
        issuer: deployment.issuer().to_owned(),
        edge_id: "01a209e1-0221-757e-bba8-30b9b72bbe32".into(),
        edge_secret: "x".into(),
        resources: format!("{}:{}", tenant.org_id, tenant.resource),
        origin_url: String::new(),
        required_scopes: String::new(),
        more: Vec::new(),
        port: free_port(),
    };
    let edge = deployment.start_edge_with(&nowhere).await;
    let answer = deployment
        .http
        .get(format!("{edge}/verify"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let elsewhere = deployment
        .http
        .get(format!("{edge}/elsewhere"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        elsewhere.status(),
        StatusCode::NOT_FOUND,
        "without an origin there is nothing else"
    );

    // Reached, then lost: no request is admitted on what is older than two seconds.
    let edge = deployment.start_edge(&[&tenant], "").await;
    let url = format!("{edge}/verify");
    assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
    deployment.stop_core().await;
    let lost = Instant::now();
    let mut last = lost;
    loop {
        let sent = Instant::now();
        match status_at(&deployment, &url, &token).await {
            StatusCode::OK => last = sent,
            refused => {
                assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(last.duration_since(lost) <= Duration::from_secs(2));
    // And found again, without a restart.
    deployment.start_core().await;
    assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
    deployment.stop().await;
}

#[tokio::test]
async fn a_core_that_takes_a_question_and_never_answers_is_not_waited_for() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let url = format!("{edge}/verify");
    assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
    send(deployment.core_id(), Signal::STOP);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        let asked = Instant::now();
        let status = status_at(&deployment, &url, &token).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
    send(deployment.core_id(), Signal::CONT);
    assert_eq!(status_at(&deployment, &url, &token).await, StatusCode::OK);
    deployment.stop().await;
}

#[tokio::test]
async fn the_feed_is_for_registered_edges_alone() {
    let deployment = Deployment::start().await;
    let url = format!("{}/api/v1/edge/feed", deployment.url);
    let (_, printed, _) =
        crate::support::run(&["edge", "register", "fra1"], deployment.vars()).await;
    let edge = crate::support::read_env(&printed);
    let (again, _, complaint) =
        crate::support::run(&["edge", "register", "fra1"], deployment.vars()).await;
    assert!(!again && complaint.contains("already"), "{complaint}");
    let page = deployment
        .http
        .get(&url)
        .basic_auth(&edge["EDGE_ID"], Some(&edge["EDGE_SECRET"]))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let page = crate::support::claims(&page.text().await.unwrap());
    assert_eq!(page["window_ms"], 60_000);
    for (id, secret) in [
        (&edge["EDGE_ID"], &deployment.operator.secret),
        (&deployment.operator.id, &deployment.operator.secret),
        (&deployment.operator.id, &edge["EDGE_SECRET"]),
    ] {
        let answer = deployment
            .http
            .get(&url)
            .basic_auth(id, Some(secret))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let bad = deployment
        .http
        .get(format!("{url}?after=x"))
        .basic_auth(&edge["EDGE_ID"], Some(&edge["EDGE_SECRET"]))
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    deployment.stop().await;
}
