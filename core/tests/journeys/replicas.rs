//! Two cores on one Postgres and one Redis behave as one: what is changed at one
//! is in force at the other within a second, and no database session is needed.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::guest::denying;
use crate::support::{Client, Deployment, text};

/// How long a change may take to be in force everywhere.
const BOUND: Duration = Duration::from_secs(1);

/// Waits until `holds`, which must be soon, and prints how soon.
async fn soon(what: &str, changed: Instant, holds: impl AsyncFn() -> bool) {
    while !holds().await {
        assert!(changed.elapsed() < BOUND, "not in force in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = changed.elapsed();
    println!("{what}: {} ms", took.as_millis());
    assert!(took < BOUND, "{what}: {took:?}");
}

/// What a token request is answered with.
async fn asked(core: &Deployment, client: &Client, more: &[(&str, &str)]) -> (u16, Value) {
    let answer = core.ask_token(client, more).await;
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_suspension_is_in_force_at_the_other_replica_within_one_second() {
    let deployment = Deployment::start().await;
    let replica = deployment.replica(&[]).await;
    let operator = deployment.token(&deployment.operator).await;
    for what in ["agent", "tenant"] {
        let tenant = deployment.tenant("enterprise").await;
        let admin = deployment.token(&tenant.administrator).await;
        let (token, path) = match what {
            "agent" => (&admin, format!("/agents/{}", tenant.agent.id)),
            _ => (&operator, format!("/tenants/{}", tenant.org_id)),
        };
        // The replica knows the client by now.
        let old = replica.token(&tenant.agent).await;
        for (status, answered) in [("suspended", 400), ("active", 200)] {
            let body = Some(json!({ "status": status }));
            deployment.must(token, "PATCH", &path, body).await;
            soon(&format!("{what} {status}"), Instant::now(), async || {
                asked(&replica, &tenant.agent, &[]).await.0 == answered
            })
            .await;
        }
        let introspected = deployment.introspect(&tenant.agent, &old).await;
        assert_eq!(introspected["active"], false, "an older token stays dead");
    }
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_revocation_is_in_force_at_the_other_replica_within_one_second() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    let admin = deployment.token(&tenant.administrator).await;
    // A token of the API's own audience, known to the replica as good.
    let spare = deployment.token(&tenant.administrator).await;
    assert_eq!(
        replica.call(&spare, "GET", "/agents", None).await.0,
        StatusCode::OK
    );
    assert_eq!(
        deployment.revoke(&tenant.administrator, &spare).await,
        StatusCode::OK
    );
    soon("token revoked, at the API", Instant::now(), async || {
        replica.call(&spare, "GET", "/agents", None).await.0 == StatusCode::UNAUTHORIZED
    })
    .await;
    let token = replica.token(&tenant.agent).await;
    assert_eq!(
        deployment.revoke(&tenant.agent, &token).await,
        StatusCode::OK
    );
    soon(
        "token revoked, at introspection",
        Instant::now(),
        async || replica.introspect(&tenant.agent, &token).await["active"] == false,
    )
    .await;

    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let made = deployment.must(&admin, "POST", &path, None).await;
    let new = Client::from_json(&made);
    soon("credential made", Instant::now(), async || {
        asked(&replica, &new, &[]).await.0 == 200
    })
    .await;
    let token = replica.token(&new).await;
    let credential = format!("{path}/{}", text(&made, "credential_id"));
    deployment.must(&admin, "DELETE", &credential, None).await;
    let revoked = Instant::now();
    soon("credential revoked", revoked, async || {
        asked(&replica, &new, &[]).await.0 == 401
    })
    .await;
    soon("and its tokens", revoked, async || {
        replica.introspect(&tenant.agent, &token).await["active"] == false
    })
    .await;
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_policy_is_in_force_at_the_other_replica_within_one_second() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    replica.token(&tenant.agent).await;
    let admin = deployment.token(&tenant.administrator).await;
    for (reason, again) in [("No.", "Still no."), ("Yet another.", "And another.")] {
        let first = deployment
            .put_policy(&tenant, &denying(reason), &[], "activate")
            .await;
        soon("policy activated", Instant::now(), async || {
            asked(&replica, &tenant.agent, &[]).await.1["error_description"] == reason
        })
        .await;
        deployment
            .put_policy(&tenant, &denying(again), &[], "activate")
            .await;
        soon("policy replaced", Instant::now(), async || {
            asked(&replica, &tenant.agent, &[]).await.1["error_description"] == again
        })
        .await;
        let path = format!("/tenants/{}/policy", tenant.org_id);
        let back = deployment
            .must(&admin, "POST", &format!("{path}/rollback"), None)
            .await;
        assert_eq!(back["digest"], first.as_str());
        soon("policy rolled back", Instant::now(), async || {
            asked(&replica, &tenant.agent, &[]).await.1["error_description"] == reason
        })
        .await;
        let retire = format!("{path}/versions/{first}/retire");
        deployment.must(&admin, "POST", &retire, None).await;
        soon("policy retired", Instant::now(), async || {
            asked(&replica, &tenant.agent, &[]).await.0 == 200
        })
        .await;
    }
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_rotation_is_in_force_at_the_other_replica_within_one_second() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    let admin = deployment.token(&tenant.administrator).await;
    replica.token(&tenant.agent).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let rotate = format!(
        "{path}/{}/rotate",
        text(&listed["data"][0], "credential_id")
    );
    let at_once = Some(json!({ "overlap_seconds": 0 }));
    let rotated = deployment.must(&admin, "POST", &rotate, at_once).await;
    let (changed, new) = (Instant::now(), Client::from_json(&rotated));
    soon("the new one works", changed, async || {
        asked(&replica, &new, &[]).await.0 == 200
    })
    .await;
    soon("the old one does not", changed, async || {
        asked(&replica, &tenant.agent, &[]).await.0 == 401
    })
    .await;
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn what_a_client_may_do_changes_at_the_other_replica_within_one_second() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let replica = deployment.replica(&[]).await;
    let admin = deployment.token(&tenant.administrator).await;
    let operator = deployment.token(&deployment.operator).await;
    let limit = async || {
        let answer = replica.ask_token(&tenant.agent, &[]).await;
        answer.headers()["x-ratelimit-limit"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit().await, "1000");
    let path = format!("/tenants/{}", tenant.org_id);
    let tier = Some(json!({ "tier": "enterprise" }));
    deployment.must(&operator, "PATCH", &path, tier).await;
    soon("tier", Instant::now(), async || limit().await == "10000").await;
    sqlx::query("UPDATE tiers SET requests_per_minute = 7777 WHERE tier = 'enterprise'")
        .execute(&deployment.pool)
        .await
        .unwrap();
    soon("a tier's number", Instant::now(), async || {
        limit().await == "7777"
    })
    .await;

    let write = [("scope", "files:write")];
    assert_eq!(asked(&replica, &tenant.agent, &write).await.0, 200);
    let path = format!("/agents/{}", tenant.agent.id);
    let narrow = Some(json!({ "scopes": ["files:read"] }));
    deployment.must(&admin, "PATCH", &path, narrow).await;
    soon("scopes narrowed", Instant::now(), async || {
        asked(&replica, &tenant.agent, &write).await.1["error"] == "invalid_scope"
    })
    .await;

    let identifier = format!("{}/mail", tenant.resource);
    let mail = [("resource", identifier.as_str())];
    assert_eq!(
        asked(&replica, &tenant.agent, &mail).await.1["error"],
        "invalid_target"
    );
    let new = json!({ "identifier": identifier, "scopes": ["mail:read"] });
    let made = deployment
        .must(&admin, "POST", "/resources", Some(new))
        .await;
    let more = Some(json!({ "scopes": ["files:read", "mail:read"] }));
    deployment.must(&admin, "PATCH", &path, more).await;
    soon("resource made", Instant::now(), async || {
        asked(&replica, &tenant.agent, &mail).await.0 == 200
    })
    .await;
    let resource = format!("/resources/{}", text(&made, "resource_id"));
    let none = Some(json!({ "scopes": [] }));
    deployment.must(&admin, "PATCH", &resource, none).await;
    let read = [mail[0], ("scope", "mail:read")];
    soon("resource changed", Instant::now(), async || {
        asked(&replica, &tenant.agent, &read).await.1["error"] == "invalid_scope"
    })
    .await;
    deployment.must(&admin, "DELETE", &resource, None).await;
    soon("resource deleted", Instant::now(), async || {
        asked(&replica, &tenant.agent, &mail).await.1["error"] == "invalid_target"
    })
    .await;
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn no_replica_listens_holds_a_lock_or_keeps_a_transaction_open() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    let mut seen = 0_i64;
    for n in 0..24 {
        let core = if n % 2 == 0 { &deployment } else { &*replica };
        core.token(&tenant.agent).await;
        let (sessions, held): (i64, i64) = sqlx::query_as(
            "SELECT count(*),
                    count(*) FILTER (WHERE query ILIKE 'listen%'
                                        OR query ILIKE 'set session%'
                                        OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory')
                                        OR (state LIKE 'idle in transaction%'
                                            AND now() - state_change > interval '500 milliseconds'))
               FROM pg_stat_activity a
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
        assert_eq!(held, 0);
        seen = seen.max(sessions);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen >= 2, "each replica has a connection: {seen}");
    replica.stop().await;
    deployment.stop().await;
}
