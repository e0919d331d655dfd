//! A credential is replaced without a gap.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Client, Deployment, text};

#[tokio::test]
async fn both_credentials_work_until_the_old_ones_end() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let old = text(&listed["data"][0], "credential_id");
    let rotate = format!("{path}/{old}/rotate");
    let (status, answer) = deployment
        .call(
            &admin,
            "POST",
            &rotate,
            Some(json!({ "overlap_seconds": 9_999_999 })),
        )
        .await;
    assert_eq!(
        (status, &answer["details"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("overlap_seconds"))
    );

    let rotated = deployment
        .must(
            &admin,
            "POST",
            &rotate,
            Some(json!({ "overlap_seconds": 2 })),
        )
        .await;
    assert_eq!(rotated["replaces"]["credential_id"], old);
    let new = Client::from_json(&rotated);
    for client in [&tenant.agent, &new] {
        assert_eq!(
            deployment.ask_token(client, &[]).await.status(),
            StatusCode::OK
        );
    }
    let shown = deployment
        .must(&admin, "GET", &format!("{path}/{old}"), None)
        .await;
    assert_eq!(shown["replaced_by"], rotated["credential_id"]);
    let begun = Instant::now();
    while deployment.ask_token(&tenant.agent, &[]).await.status() == StatusCode::OK {
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "the old one has no end"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        deployment.ask_token(&new, &[]).await.status(),
        StatusCode::OK
    );
    assert_eq!(deployment.events("credential.rotated").await, 1);
    deployment.stop().await;
}

#[tokio::test]
async fn of_many_rotations_at_once_one_succeeds_and_nothing_of_the_others_stays() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let rotate = format!(
        "{path}/{}/rotate",
        text(&listed["data"][0], "credential_id")
    );
    let attempts = (0..16).map(|_| deployment.call(&admin, "POST", &rotate, None));
    let answers = futures_util::future::join_all(attempts).await;
    assert_eq!(
        answers
            .iter()
            .filter(|(status, _)| *status == StatusCode::CREATED)
            .count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status.as_u16(), 201 | 409))
    );
    let listed = deployment.must(&admin, "GET", &path, None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    // Another tenant's is not there.
    let other = deployment.tenant("pro").await;
    let stranger = deployment.token(&other.administrator).await;
    assert_eq!(
        deployment.call(&stranger, "POST", &rotate, None).await.0,
        StatusCode::NOT_FOUND
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_rotation_that_is_repeated_with_its_key_shows_the_same_secret_again() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let rotate = format!(
        "{path}/{}/rotate",
        text(&listed["data"][0], "credential_id")
    );
    let key = [("idempotency-key", "the answer was lost")];
    let (status, first, made) = deployment
        .call_with(&admin, "POST", &rotate, &key, None)
        .await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(!first.contains_key("idempotency-replayed"));
    let (status, again, shown) = deployment
        .call_with(&admin, "POST", &rotate, &key, None)
        .await;
    assert_eq!((status, &shown), (StatusCode::CREATED, &made));
    assert_eq!(again["idempotency-replayed"], "true");
    assert_eq!(
        (&again["location"], &again["cache-control"]),
        (&first["location"], &first["cache-control"])
    );
    deployment.token(&Client::from_json(&shown)).await;
    // Without the key, or with another, it has been rotated already.
    for key in [&[][..], &[("idempotency-key", "another")]] {
        let (status, ..) = deployment
            .call_with(&admin, "POST", &rotate, key, None)
            .await;
        assert_eq!(status, StatusCode::CONFLICT);
    }
    assert_eq!(deployment.events("credential.rotated").await, 1);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    deployment.stop().await;
}
