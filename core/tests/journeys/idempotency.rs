//! Creations that are repeated with an Idempotency-Key: one thing is made, and
//! whoever repeats gets the answer of the first time.

mod makings;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use self::makings::{Making, makings};
use crate::support::{Client, Deployment, text};

async fn post(
    deployment: &Deployment,
    token: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> (StatusCode, HeaderMap, Value) {
    let headers = [("idempotency-key", key)];
    deployment
        .call_with(token, "POST", path, &headers, Some(body.clone()))
        .await
}

async fn rows(deployment: &Deployment, table: &'static str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .fetch_one(&deployment.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_creation_is_made_once_and_answered_alike_by_any_replica() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    for making in makings(&deployment, &tenant).await {
        let Making {
            token,
            path,
            body,
            other,
            table,
            key,
        } = making;
        let before = rows(&deployment, table).await;
        let events = rows(&deployment, "audit_events").await;
        let (status, headers, made) = post(&deployment, &token, &path, &key, &body).await;
        assert_eq!(status, StatusCode::CREATED, "{path} {made}");
        assert!(!headers.contains_key("idempotency-replayed"));
        let (written, recorded) = (
            rows(&deployment, table).await - before,
            rows(&deployment, "audit_events").await - events,
        );
        assert_eq!(written, 1, "{path}");
        // As a string of structured fields it is the same key.
        let quoted = format!("\"{key}\"");
        for (asked, key) in [(&deployment, &key), (&*replica, &quoted)] {
            let (status, replayed, again) = post(asked, &token, &path, key, &body).await;
            assert_eq!((status, &again), (StatusCode::CREATED, &made), "{path}");
            assert_eq!(replayed["idempotency-replayed"], "true");
            for name in ["location", "etag", "cache-control"] {
                assert_eq!(replayed.get(name), headers.get(name), "{path} {name}");
            }
        }
        // Another request is not this one.
        let (status, _, answer) = post(&replica, &token, &path, &key, &other).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {answer}");
        assert_eq!(answer["details"][0]["field"], "Idempotency-Key", "{answer}");
        assert_eq!(rows(&deployment, table).await - before, 1, "{path}");
        assert_eq!(
            rows(&deployment, "audit_events").await - events,
            recorded,
            "{path}"
        );
        if table == "credentials" || table == "tenants" {
            let shown = made.get("administrator").unwrap_or(&made);
            deployment.token(&Client::from_json(shown)).await;
        }
    }
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_key_is_one_requests_and_one_actors_and_free_again_after_a_failure() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let once = json!({ "name": "once" });
    let (status, _, first) = post(&deployment, &admin, "/agents", "k", &once).await;
    assert_eq!(status, StatusCode::CREATED);
    // The same key for another body or another place.
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    for (path, body) in [
        ("/agents", json!({ "name": "twice" })),
        (credentials.as_str(), json!({})),
    ] {
        let (status, _, answer) = post(&deployment, &admin, path, "k", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(answer["details"][0]["field"], "Idempotency-Key", "{answer}");
    }
    // Another administrator of the same tenant, and another tenant's.
    let scopes = ["agents:read", "agents:write"];
    let second = deployment
        .agent(&admin, "second administrator", &scopes)
        .await;
    let second = deployment.token(&second).await;
    let (status, _, answer) = post(&deployment, &second, "/agents", "k", &once).await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "its own, and the name is taken: {answer}"
    );
    let other = deployment.tenant("pro").await;
    let stranger = deployment.token(&other.administrator).await;
    let (status, headers, theirs) = post(&deployment, &stranger, "/agents", "k", &once).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(!headers.contains_key("idempotency-replayed"));
    assert_ne!(theirs["agent_id"], first["agent_id"]);

    // After a 409, a 422 and a 403 the key is free.
    for (body, refused) in [
        (json!({ "name": "once" }), StatusCode::CONFLICT),
        (json!({ "name": "" }), StatusCode::UNPROCESSABLE_ENTITY),
        (
            json!({ "name": "x", "scopes": ["mail:read"] }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "name": "x", "scopes": ["tenants:write"] }),
            StatusCode::FORBIDDEN,
        ),
    ] {
        assert_eq!(
            post(&deployment, &admin, "/agents", "free", &body).await.0,
            refused,
            "{body}"
        );
    }
    let new = json!({ "name": "new" });
    assert_eq!(
        post(&deployment, &admin, "/agents", "free", &new).await.0,
        StatusCode::CREATED
    );
    deployment.stop().await;
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_creates_and_all_are_answered_alike() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    for making in makings(&deployment, &tenant).await {
        let Making {
            token,
            path,
            body,
            table,
            key,
            ..
        } = making;
        let before = rows(&deployment, table).await;
        let attempts = (0..8).map(|n| {
            let asked = if n % 2 == 0 { &deployment } else { &*replica };
            post(asked, &token, &path, &key, &body)
        });
        let answers = futures_util::future::join_all(attempts).await;
        let first = &answers[0].2;
        assert!(
            answers
                .iter()
                .all(|(status, _, body)| *status == StatusCode::CREATED && body == first),
            "{path} {answers:?}"
        );
        let replayed = |headers: &HeaderMap| headers.contains_key("idempotency-replayed");
        assert_eq!(
            answers
                .iter()
                .filter(|(_, headers, _)| replayed(headers))
                .count(),
            7
        );
        assert_eq!(rows(&deployment, table).await - before, 1, "{path}");
    }
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let (long, longest) = ("x".repeat(256), "x".repeat(255));
    let bad: [&[(&str, &str)]; 5] = [
        &[("idempotency-key", "")],
        &[("idempotency-key", "\"\"")],
        &[("idempotency-key", &long)],
        &[("idempotency-key", "a\"b")],
        &[("idempotency-key", "a"), ("idempotency-key", "a")],
    ];
    for headers in bad {
        let body = Some(json!({ "name": "none" }));
        let (status, _, answer) = deployment
            .call_with(&admin, "POST", "/agents", headers, body)
            .await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST")),
            "{headers:?}"
        );
    }
    let body = json!({ "name": "one" });
    assert_eq!(
        post(&deployment, &admin, "/agents", &longest, &body)
            .await
            .0,
        StatusCode::CREATED
    );
    deployment.stop().await;
}

#[tokio::test]
async fn what_is_kept_of_answers_shows_no_secret_and_no_key() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let mut words = vec!["key of".to_owned(), "client_secret".to_owned()];
    for making in makings(&deployment, &tenant).await {
        let Making {
            token,
            path,
            body,
            key,
            ..
        } = making;
        let (_, _, made) = post(&deployment, &token, &path, &key, &body).await;
        let shown = made.get("administrator").unwrap_or(&made);
        if shown.get("client_secret").is_some() {
            let secret = text(shown, "client_secret");
            words.push(secret.trim_start_matches("agentidp_cs_")[..12].to_owned());
            words.push(secret);
        }
    }
    assert_eq!(words.len(), 8, "three secrets");
    let kept: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT key_sha256 || request_sha256 || answer || convert_to(k::text, 'UTF8') FROM idempotency_keys k",
    )
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    assert_eq!(kept.len(), 5);
    for word in words {
        let there = |bytes: &Vec<u8>| {
            bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        };
        assert!(!kept.iter().any(there), "{word}");
    }
    deployment.stop().await;
}
