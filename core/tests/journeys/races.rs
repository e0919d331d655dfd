//! Things that happen at once: afterwards the state is one that some order of the
//! calls explains.

use std::time::{Duration, Instant};

use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::load::{Load, Outcome};
use crate::support::{Client, Deployment, Tenant, status_at, text};

/// A tenant without a minute's limit.
async fn tenant(deployment: &Deployment) -> Tenant {
    let minute = "requests_per_minute";
    deployment.set_tier("enterprise", minute, None).await;
    deployment.tenant("enterprise").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_sixty_four_callers_use_gives_no_token_after_its_revocation() {
    // Here an address may fail as often as it likes.
    let settings = [("ADDRESS_FAILURES_PER_MINUTE", "1000000")];
    let deployment = Deployment::start_with(Algorithm::EdDSA, &settings).await;
    let tenant = tenant(&deployment).await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let credential = format!("{path}/{}", text(&listed["data"][0], "credential_id"));
    let other = deployment.must(&admin, "POST", &path, None).await;
    let other = Client::from_json(&other);

    let load = Load::start(&deployment, &tenant.agent, 64);
    load.more(400).await;
    deployment.must(&admin, "DELETE", &credential, None).await;
    let revoked = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answers = load.stop().await;
    let mut tokens = Vec::new();
    for answer in &answers {
        match &answer.outcome {
            Outcome::Token(token) => {
                assert!(answer.sent < revoked, "issued to a revoked credential");
                tokens.push((answer.came(), token));
            }
            Outcome::Refused { status, body, .. } => {
                assert_eq!(*status, StatusCode::UNAUTHORIZED, "{body}");
                assert_eq!(body["error"], "invalid_client");
            }
            Outcome::Nothing => panic!("a connection broke off"),
        }
    }
    // Whatever was in flight is dead too: the last ones, which are the suspicious
    // ones, and some of the others.
    tokens.sort_by_key(|(came, _)| std::cmp::Reverse(*came));
    println!("{} tokens, of which 128 are asked about", tokens.len());
    for (_, token) in tokens.into_iter().take(128) {
        let seen = deployment.introspect(&other, token).await;
        assert_eq!(seen, json!({ "active": false }));
    }
    deployment.token(&other).await;
    assert_eq!(deployment.events("credential.revoked").await, 1);
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_creations_of_one_agent_at_once_one_makes_it() {
    let deployment = Deployment::start().await;
    let tenant = tenant(&deployment).await;
    let admin = deployment.token(&tenant.administrator).await;
    let new = json!({ "name": "the one" });
    let attempts = (0..16).map(|_| deployment.call(&admin, "POST", "/agents", Some(new.clone())));
    let answers = futures_util::future::join_all(attempts).await;
    let with = |wanted: StatusCode| {
        let same = answers.iter().filter(|(status, _)| *status == wanted);
        same.map(|(_, body)| body).collect::<Vec<_>>()
    };
    let (made, refused) = (with(StatusCode::CREATED), with(StatusCode::CONFLICT));
    assert_eq!((made.len(), refused.len()), (1, 15), "{answers:?}");
    assert!(refused.iter().all(|body| body["code"] == "CONFLICT"));
    let rows: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT agent_id FROM agents WHERE name = 'the one'")
            .fetch_all(&deployment.pool)
            .await
            .unwrap();
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    assert_eq!(rows, [text(made[0], "agent_id")]);
    // The operator's, the tenant's administrator and agent, and this one.
    assert_eq!(deployment.events("agent.created").await, 4);
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_suspended_in_mid_issuance_is_issued_nothing_more_and_all_it_had_is_dead() {
    let mut deployment = Deployment::start().await;
    let tenant = tenant(&deployment).await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let url = format!("{edge}/verify");
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let org = format!("/tenants/{}", tenant.org_id);

    let load = Load::start(&deployment, &tenant.agent, 32);
    load.more(300).await;
    let suspended = json!({ "status": "suspended" });
    deployment
        .must(&operator, "PATCH", &org, Some(suspended))
        .await;
    let answered = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answers = load.stop().await;
    for answer in &answers {
        match &answer.outcome {
            Outcome::Token(_) => assert!(answer.sent < answered, "issued to a suspended tenant"),
            Outcome::Refused { status, body, .. } => {
                assert_eq!(*status, StatusCode::BAD_REQUEST, "{body}");
                assert_eq!(body["error"], "unauthorized_client");
            }
            Outcome::Nothing => panic!("a connection broke off"),
        }
    }
    // At the core at once, at the edge within two seconds.
    let refused = StatusCode::UNAUTHORIZED;
    let (status, body) = deployment.call(&admin, "GET", "/agents", None).await;
    assert_eq!(status, refused, "{body}");
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(answered.elapsed())).await;
    let mut tokens: Vec<_> = answers
        .iter()
        .filter(|answer| answer.token().is_some())
        .collect();
    tokens.sort_by_key(|answer| answer.came());
    let last: Vec<&str> = tokens
        .iter()
        .rev()
        .take(64)
        .filter_map(|answer| answer.token())
        .collect();
    for token in &last {
        assert_eq!(status_at(&deployment, &url, token).await, refused);
    }
    let account = deployment.accounts(&tenant, &answers).await;
    println!("{account:?}");
    // Nothing is rounded up where the callers of a new client begin together.
    assert_eq!(account.month, account.events);

    // Lifted, the old tokens stay dead, and a new one lives.
    let active = json!({ "status": "active" });
    deployment
        .must(&operator, "PATCH", &org, Some(active))
        .await;
    let fresh = deployment.token(&tenant.agent).await;
    let seen: Value = deployment.introspect(&tenant.agent, &fresh).await;
    assert_eq!(seen["active"], true);
    for token in &last {
        let seen = deployment.introspect(&tenant.agent, token).await;
        assert_eq!(seen, json!({ "active": false }));
    }
    deployment.stop().await;
}
