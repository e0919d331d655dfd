//! Places of the edge are registered, listed and revoked, by the API and by the
//! command line, by the operator alone.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Deployment, read_env, run, secrets, text};

/// The status at the feed.
async fn at_the_feed(deployment: &Deployment, id: &str, secret: &str) -> StatusCode {
    let url = format!("{}/api/v1/edge/feed", deployment.url);
    let asked = deployment.http.get(url).basic_auth(id, Some(secret));
    asked.send().await.unwrap().status()
}

#[tokio::test]
async fn an_edge_is_registered_listed_and_revoked_by_the_operator_alone() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let fra = || Some(json!({ "place": "fra1" }));
    let key = [("idempotency-key", "one")];
    let (status, headers, made) = deployment
        .call_with(&operator, "POST", "/edges", &key, fra())
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (id, secret) = (text(&made, "edge_id"), text(&made, "edge_secret"));
    secrets::keep_credential(&id, &secret);
    assert_eq!(headers["location"], format!("/api/v1/edges/{id}"));
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let (_, headers, again) = deployment
        .call_with(&operator, "POST", "/edges", &key, fra())
        .await;
    assert_eq!(again, made);
    assert_eq!(headers["idempotency-replayed"], "true");
    let (status, answer) = deployment.call(&operator, "POST", "/edges", fra()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    for place in ["", " a", "a\u{200b}", "x".repeat(65).as_str()] {
        let body = Some(json!({ "place": place }));
        let (status, _) = deployment.call(&operator, "POST", "/edges", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{place:?}");
    }

    let path = format!("/edges/{id}");
    for (method, path, body) in [
        ("GET", "/edges", None),
        ("POST", "/edges", fra()),
        ("GET", &*path, None),
        ("DELETE", &*path, None),
    ] {
        let (status, _) = deployment.call(&admin, method, path, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    for scope in ["edges:read", "edges:write"] {
        let body = Some(json!({ "name": "x", "scopes": [scope] }));
        let (status, _) = deployment.call(&admin, "POST", "/agents", body).await;
        assert_eq!(
            status,
            StatusCode::FORBIDDEN,
            "{scope} is the operator's to give"
        );
    }
    // Whoever may read may not revoke.
    let reader = deployment.agent(&operator, "reader", &["edges:read"]).await;
    let reader = deployment.token(&reader).await;
    deployment.must(&reader, "GET", &path, None).await;
    let (status, _) = deployment.call(&reader, "DELETE", &path, None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    assert_eq!(at_the_feed(&deployment, &id, &secret).await, StatusCode::OK);
    deployment.stop_core().await;
    deployment.start_core().await;
    let (_, headers, seen) = deployment
        .call_with(&operator, "GET", &path, &[], None)
        .await;
    assert!(seen["last_seen_at"].is_string(), "{seen}");
    assert_eq!(
        (&seen["place"], &seen["status"]),
        (&json!("fra1"), &json!("active"))
    );
    assert_eq!(seen.get("edge_secret"), None);
    assert_eq!(headers["etag"], tag.as_str(), "being seen is no change");

    let stale = [("if-match", "\"stale\"")];
    let (status, ..) = deployment
        .call_with(&operator, "DELETE", &path, &stale, None)
        .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let mine = [("if-match", tag.as_str())];
    for headers in [&mine[..], &[]] {
        let (status, ..) = deployment
            .call_with(&operator, "DELETE", &path, headers, None)
            .await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
    let refused = at_the_feed(&deployment, &id, &secret).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    let second = deployment.must(&operator, "POST", "/edges", fra()).await;
    secrets::keep_credential(&text(&second, "edge_id"), &text(&second, "edge_secret"));
    for (query, ids) in [
        ("", vec![id.clone(), text(&second, "edge_id")]),
        ("?status=active", vec![text(&second, "edge_id")]),
        ("?status=revoked&place=fra1", vec![id.clone()]),
        ("?place=ams1", vec![]),
        ("?limit=1", vec![id.clone()]),
    ] {
        let list = deployment
            .must(&operator, "GET", &format!("/edges{query}"), None)
            .await;
        let data = list["data"].as_array().unwrap();
        let listed: Vec<String> = data.iter().map(|edge| text(edge, "edge_id")).collect();
        assert_eq!(listed, ids, "{query}");
        assert_eq!(list["next_cursor"].is_string(), query == "?limit=1");
    }
    let revoked = deployment.must(&operator, "GET", &path, None).await;
    assert_eq!(revoked["status"], "revoked");
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(deployment.events("edge.registered").await, 2);
    assert_eq!(deployment.events("edge.revoked").await, 1);
    let nothing = "/edges/01a209e1-0221-757e-bba8-30b9b72bbe32";
    for method in ["GET", "DELETE"] {
        let (status, _) = deployment.call(&operator, method, nothing, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    deployment.stop().await;
}

#[tokio::test]
async fn an_edge_is_registered_listed_and_revoked_from_the_command_line() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = async |arguments: &[&str]| {
        let arguments = [&["edge"], arguments].concat();
        run(&arguments, deployment.vars()).await
    };
    let mut made = Vec::new();
    for place in ["ams1", "fra1"] {
        let (_, printed, _) = edge(&["register", place]).await;
        let printed = read_env(&printed);
        secrets::keep_credential(&printed["EDGE_ID"], &printed["EDGE_SECRET"]);
        made.push(printed);
    }
    let works = async |n: usize| {
        let (id, secret) = (&made[n]["EDGE_ID"], &made[n]["EDGE_SECRET"]);
        at_the_feed(&deployment, id, secret).await
    };
    assert_eq!([works(0).await, works(1).await], [StatusCode::OK; 2]);
    let (ok, said, why) = edge(&["revoke", "ams1"]).await;
    assert!(ok && said.contains("ams1"), "{said} {why}");
    assert_eq!(works(0).await, StatusCode::UNAUTHORIZED);
    let (ok, _, _) = edge(&["revoke", made[1]["EDGE_ID"].as_str()]).await;
    assert!(ok);
    assert_eq!(works(1).await, StatusCode::UNAUTHORIZED);
    for gone in ["ams1", made[1]["EDGE_ID"].as_str(), "nowhere"] {
        let (ok, _, why) = edge(&["revoke", gone]).await;
        assert!(!ok && why.contains("No edge was revoked"), "{gone}: {why}");
    }
    let (_, printed, _) = edge(&["register", "ams1"]).await;
    let again = read_env(&printed);
    secrets::keep_credential(&again["EDGE_ID"], &again["EDGE_SECRET"]);
    let (ok, listed, _) = edge(&["list"]).await;
    assert!(ok);
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line[0], line[1], &line[2][..6]))
        .collect();
    assert_eq!(
        shown,
        [
            (&*made[0]["EDGE_ID"], "ams1", "revoke"),
            (&*made[1]["EDGE_ID"], "fra1", "revoke"),
            (&*again["EDGE_ID"], "ams1", "active"),
        ]
    );
    assert!(!listed.contains("agentidp_es_"), "no secret is shown again");

    // A worker whose place was revoked admits nobody within the bound.
    let settings = deployment.edge_settings(&[&tenant], "").await;
    let id = settings.edge_id.clone();
    let token = deployment.token(&tenant.agent).await;
    let url = deployment.start_edge_with(&settings).await + "/verify";
    let status = async || crate::support::status_at(&deployment, &url, &token).await;
    assert_eq!(status().await, StatusCode::OK);
    let (ok, ..) = run(&["edge", "revoke", &id], deployment.vars()).await;
    assert!(ok);
    let begun = std::time::Instant::now();
    while status().await == StatusCode::OK {
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    deployment.stop().await;
}
