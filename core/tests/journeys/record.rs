//! Every change and every issuance leaves an event, and nothing secret is in it
//! or in the log.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, secrets, text};

#[tokio::test]
async fn every_change_and_every_issuance_leaves_an_event() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let agent = format!("/agents/{}", tenant.agent.id);
    // Twice each: what changes nothing leaves nothing.
    for status in ["suspended", "suspended", "active", "active"] {
        deployment
            .must(&admin, "PATCH", &agent, Some(json!({ "status": status })))
            .await;
    }
    deployment
        .must(&admin, "PATCH", &agent, Some(json!({ "owner": "me" })))
        .await;
    let token = deployment.token(&tenant.agent).await;
    assert_eq!(
        deployment.revoke(&tenant.agent, &token).await,
        StatusCode::OK
    );
    let credentials = deployment
        .must(&admin, "GET", &format!("{agent}/credentials"), None)
        .await;
    let credential = text(&credentials["data"][0], "credential_id");
    deployment
        .must(
            &admin,
            "DELETE",
            &format!("{agent}/credentials/{credential}"),
            None,
        )
        .await;
    deployment.must(&admin, "DELETE", &agent, None).await;
    let operator = deployment.token(&deployment.operator).await;
    deployment
        .must(
            &operator,
            "PATCH",
            &format!("/tenants/{}", tenant.org_id),
            Some(json!({ "tier": "pro" })),
        )
        .await;
    let resource = deployment.must(&admin, "GET", "/resources", None).await["data"][0].clone();
    let resource = format!("/resources/{}", text(&resource, "resource_id"));
    deployment
        .must(&admin, "PATCH", &resource, Some(json!({ "name": "Files" })))
        .await;
    deployment.must(&admin, "DELETE", &resource, None).await;

    for (action, count) in [
        ("tenant.created", 2),
        ("tenant.changed", 1),
        ("resource.created", 1),
        ("resource.changed", 1),
        ("resource.deleted", 1),
        ("agent.created", 3),
        ("agent.changed", 1),
        ("agent.suspended", 1),
        ("agent.reactivated", 1),
        ("agent.decommissioned", 1),
        ("credential.created", 3),
        ("credential.revoked", 1),
        ("token.revoked", 1),
    ] {
        assert_eq!(deployment.events(action).await, count, "{action}");
    }
    // The issuance's event is found by the token's own id.
    let claims: Value = {
        use base64::Engine as _;
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(part)
                .unwrap(),
        )
        .unwrap()
    };
    let jti: uuid::Uuid = text(&claims, "jti").parse().unwrap();
    let (action, details): (String, Value) =
        sqlx::query_as("SELECT action, details FROM audit_events WHERE event_id = $1")
            .bind(jti)
            .fetch_one(&deployment.pool)
            .await
            .unwrap();
    assert_eq!(
        (action.as_str(), &details["expires_at"]),
        ("token.issued", &claims["exp"])
    );
    for statement in [
        "UPDATE audit_events SET action = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ] {
        assert!(
            sqlx::query(statement)
                .execute(&deployment.pool)
                .await
                .is_err(),
            "{statement}"
        );
    }
    deployment.stop().await;
}

#[tokio::test]
async fn nothing_secret_is_in_the_log_or_the_record() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let token = deployment.token(&tenant.agent).await;
    let admin = deployment.token(&tenant.administrator).await;
    // Where careless clients put them.
    for url in [
        format!("{}/api/v1/agents?access_token={token}", deployment.url),
        format!(
            "{}/api/v1/token?client_secret={}",
            deployment.url, tenant.agent.secret
        ),
    ] {
        deployment
            .http
            .get(&url)
            .header("referer", &url)
            .header("authorization", format!("Bearer {admin}"))
            .send()
            .await
            .unwrap();
    }
    assert_eq!(
        deployment.revoke(&tenant.agent, &token).await,
        StatusCode::OK
    );
    deployment.stop_core().await;

    let log = std::fs::read_to_string(deployment.log()).unwrap();
    assert!(
        log.contains("\"POST /api/v1/token HTTP/1.1\" 200 "),
        "{log}"
    );
    let record: Vec<String> = sqlx::query_scalar("SELECT audit_events::text FROM audit_events")
        .fetch_all(&deployment.pool)
        .await
        .unwrap();
    let everything = log + &record.join("\n");
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let key_line = deployment.private_key.lines().nth(1).unwrap().to_owned();
    for secret in [
        tenant.agent.secret.clone(),
        tenant.administrator.secret.clone(),
        deployment.operator.secret.clone(),
        signature(&token),
        signature(&admin),
        key_line,
    ] {
        assert!(!everything.contains(&secret));
    }
    deployment.stop().await;
}

#[tokio::test]
async fn an_issuance_that_cannot_be_recorded_is_not_answered() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    deployment.token(&tenant.agent).await;
    // The record refuses every new event, whatever else works.
    sqlx::query("ALTER TABLE audit_events ADD CONSTRAINT refused CHECK (false) NOT VALID")
        .execute(&deployment.pool)
        .await
        .unwrap();
    let answer = deployment.ask_token(&tenant.agent, &[]).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (&body["error"], &body["code"]),
        (
            &json!("temporarily_unavailable"),
            &json!("SERVICE_UNAVAILABLE")
        )
    );
    sqlx::query("ALTER TABLE audit_events DROP CONSTRAINT refused")
        .execute(&deployment.pool)
        .await
        .unwrap();
    deployment.token(&tenant.agent).await;
    deployment.stop().await;
}

#[test]
fn a_secret_that_stands_in_a_log_is_found_there() {
    let folder = std::env::temp_dir().join(format!("logs-{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    let secret = format!("planted{:032x}", rand::random::<u128>());
    secrets::keep(&secret);
    let found = |line: &str| {
        std::fs::write(folder.join("some.log"), format!("before\n{line}\nafter\n")).unwrap();
        secrets::found_in(&folder).len()
    };
    assert_eq!(found(&format!("x={secret}y")), 1);
    assert_eq!(found(&secret[1..]), 0);
    std::fs::remove_dir_all(&folder).unwrap();
}
