//! What was revoked is refused: at the core at once, at the edge within two
//! seconds of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{Deployment, status_at};

/// What the design promises, from the answer to the last request admitted.
const BOUND: Duration = Duration::from_secs(2);

/// Eight callers use `token` at `url` until each is refused; answers with when the
/// last request was *sent* that was still admitted.
fn callers(
    deployment: &Deployment,
    url: &str,
    token: &str,
    begun: watch::Sender<bool>,
) -> tokio::task::JoinHandle<Instant> {
    let (http, url, token) = (deployment.http.clone(), url.to_owned(), token.to_owned());
    let begun = Arc::new(begun);
    tokio::spawn(async move {
        let callers = (0..8).map(|_| {
            let (http, url, token, begun) =
                (http.clone(), url.clone(), token.clone(), Arc::clone(&begun));
            tokio::spawn(async move {
                let mut last = Instant::now();
                loop {
                    let sent = Instant::now();
                    let status = http
                        .get(&url)
                        .bearer_auth(&token)
                        .send()
                        .await
                        .unwrap()
                        .status();
                    if status != StatusCode::OK {
                        assert_eq!(status, StatusCode::UNAUTHORIZED);
                        return last;
                    }
                    last = sent;
                    begun.send_replace(true);
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
            })
        });
        let lasts = futures_util::future::join_all(callers).await;
        lasts.into_iter().map(Result::unwrap).max().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_at_the_edge_within_two_seconds_twenty_times() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let token = deployment.token(&tenant.agent).await;
        let (begun, mut wait) = watch::channel(false);
        let callers = callers(&deployment, &format!("{edge}/verify"), &token, begun);
        wait.wait_for(|begun| *begun).await.unwrap();
        assert_eq!(
            deployment.revoke(&tenant.agent, &token).await,
            StatusCode::OK
        );
        let answered = Instant::now();
        times.push(callers.await.unwrap().saturating_duration_since(answered));
    }
    times.sort_unstable();
    let shown: Vec<String> = times
        .iter()
        .map(|time| format!("{} ms", time.as_millis()))
        .collect();
    println!(
        "from the answer of /token/revoke to the last request admitted: {}",
        shown.join(", ")
    );
    assert!(times.last().unwrap() <= &BOUND, "{times:?}");
    deployment.stop().await;
}

/// Waits for the edge to have heard of what was just answered.
async fn within_the_bound(deployment: &Deployment, url: &str, token: &str, wanted: StatusCode) {
    let begun = Instant::now();
    while status_at(deployment, url, token).await != wanted {
        assert!(begun.elapsed() < BOUND, "{wanted} has not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_agents_a_credentials_and_a_tenants_end_kill_their_tokens_everywhere() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let url = format!("{edge}/verify");
    let admin = deployment.token(&tenant.administrator).await;
    let operator = deployment.token(&deployment.operator).await;
    let (ok, refused) = (StatusCode::OK, StatusCode::UNAUTHORIZED);

    // A credential: its tokens die, another credential's live.
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let second = deployment.must(&admin, "POST", &path, None).await;
    let by_first = deployment.token(&tenant.agent).await;
    let by_second = deployment
        .token(&crate::support::Client::from_json(&second))
        .await;
    let credential = crate::support::text(&second, "credential_id");
    deployment
        .must(&admin, "DELETE", &format!("{path}/{credential}"), None)
        .await;
    assert_eq!(
        deployment.introspect(&tenant.agent, &by_second).await["active"],
        false
    );
    within_the_bound(&deployment, &url, &by_second, refused).await;
    assert_eq!(status_at(&deployment, &url, &by_first).await, ok);

    // An agent, suspended and put back: what it had stays dead, what it gets lives.
    let agent = format!("/agents/{}", tenant.agent.id);
    deployment
        .must(
            &admin,
            "PATCH",
            &agent,
            Some(json!({ "status": "suspended" })),
        )
        .await;
    assert_eq!(
        deployment.ask_token(&tenant.agent, &[]).await.status(),
        StatusCode::BAD_REQUEST
    );
    within_the_bound(&deployment, &url, &by_first, refused).await;
    deployment
        .must(&admin, "PATCH", &agent, Some(json!({ "status": "active" })))
        .await;
    let fresh = deployment.token(&tenant.agent).await;
    within_the_bound(&deployment, &url, &fresh, ok).await;
    assert_eq!(status_at(&deployment, &url, &by_first).await, refused);
    assert_eq!(
        deployment.introspect(&tenant.agent, &fresh).await["active"],
        true
    );

    // A tenant: its administrators stop too.
    let org = format!("/tenants/{}", tenant.org_id);
    deployment
        .must(
            &operator,
            "PATCH",
            &org,
            Some(json!({ "status": "suspended" })),
        )
        .await;
    assert_eq!(
        deployment.call(&admin, "GET", "/agents", None).await.0,
        refused
    );
    assert_eq!(
        deployment
            .ask_token(&tenant.administrator, &[])
            .await
            .status(),
        StatusCode::BAD_REQUEST
    );
    within_the_bound(&deployment, &url, &fresh, refused).await;
    deployment
        .must(
            &operator,
            "PATCH",
            &org,
            Some(json!({ "status": "active" })),
        )
        .await;
    let fresh = deployment.token(&tenant.agent).await;
    within_the_bound(&deployment, &url, &fresh, ok).await;

    // Decommissioned is for ever.
    deployment
        .must(
            &admin_again(&deployment, &tenant).await,
            "DELETE",
            &agent,
            None,
        )
        .await;
    within_the_bound(&deployment, &url, &fresh, refused).await;
    deployment.stop().await;
}

#[tokio::test]
async fn what_was_got_between_two_suspensions_stays_dead_however_soon_they_follow() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    for of_the_tenant in [false, true] {
        let tenant = deployment.tenant("enterprise").await;
        let admin = deployment.token(&tenant.administrator).await;
        let (by, path) = match of_the_tenant {
            true => (&operator, format!("/tenants/{}", tenant.org_id)),
            false => (&admin, format!("/agents/{}", tenant.agent.id)),
        };
        let mut got = Vec::new();
        for _ in 0..6 {
            for status in ["suspended", "active"] {
                let body = Some(json!({ "status": status }));
                deployment.must(by, "PATCH", &path, body).await;
            }
            got.push(deployment.token(&tenant.agent).await);
        }
        let last = got.pop().unwrap();
        for token in &got {
            let answer = deployment.introspect(&tenant.agent, token).await;
            assert_eq!(answer["active"], false, "{of_the_tenant} {path}");
        }
        let answer = deployment.introspect(&tenant.agent, &last).await;
        assert_eq!(answer["active"], true);
    }
    deployment.stop().await;
}

async fn admin_again(deployment: &Deployment, tenant: &crate::support::Tenant) -> String {
    deployment.token(&tenant.administrator).await
}

#[tokio::test]
async fn a_client_revokes_its_own_tokens_and_nobody_elses() {
    let deployment = Deployment::start().await;
    let (tenant, other) = (
        deployment.tenant("free").await,
        deployment.tenant("free").await,
    );
    let token = deployment.token(&tenant.agent).await;
    assert_eq!(
        deployment.revoke(&other.agent, &token).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        deployment.revoke(&tenant.administrator, &token).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        deployment.introspect(&tenant.agent, &token).await["active"],
        true
    );
    for unknown in ["x", "a.b.c", &token[..token.len() - 8]] {
        assert_eq!(
            deployment.revoke(&tenant.agent, unknown).await,
            StatusCode::OK
        );
    }
    for _ in 0..2 {
        assert_eq!(
            deployment.revoke(&tenant.agent, &token).await,
            StatusCode::OK
        );
    }
    assert_eq!(
        deployment.introspect(&tenant.agent, &token).await,
        json!({ "active": false })
    );
    assert_eq!(deployment.events("token.revoked").await, 1);

    let keys: Vec<String> = {
        use redis::AsyncCommands as _;
        let client = redis::Client::open(std::env::var("REDIS_URL").unwrap()).unwrap();
        client
            .get_multiplexed_async_connection()
            .await
            .unwrap()
            .keys("revoked:*")
            .await
            .unwrap()
    };
    let jti: String = sqlx::query_scalar("SELECT id FROM revocations WHERE kind = 'token'")
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    assert!(keys.contains(&format!("revoked:{jti}")));
    deployment.stop().await;
}
