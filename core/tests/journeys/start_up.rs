//! How the service starts, says what is wrong, and stops.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agentidp_core::migrate;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{Deployment, free_port, new_database, run};

#[tokio::test]
async fn what_is_missing_is_named_and_nothing_is_served() {
    let deployment = Deployment::start().await;
    for (missing, words) in [
        (
            "DATABASE_URL",
            "Failed to start server: Error: DATABASE_URL environment variable is required",
        ),
        (
            "REDIS_URL",
            "Failed to start server: Error: REDIS_URL environment variable is required",
        ),
        (
            "JWT_PRIVATE_KEY",
            "Failed to start server: Error: JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required",
        ),
        (
            "JWT_PUBLIC_KEY",
            "Failed to start server: Error: JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required",
        ),
    ] {
        let mut vars = deployment.vars().clone();
        vars.insert("PORT".into(), free_port().to_string());
        vars.remove(missing);
        let (started, _, complaint) = run(&["serve"], &vars).await;
        assert!(!started);
        assert_eq!(complaint.trim_end(), words);
    }
    // A port that is taken: the deployment's own.
    let (started, _, complaint) = run(&["serve"], deployment.vars()).await;
    assert!(!started && complaint.contains("set PORT"), "{complaint}");
    let (migrated, _, complaint) = run(&["migrate"], &HashMap::new()).await;
    assert!(!migrated);
    assert_eq!(
        complaint.trim_end(),
        "Migration failed: Error: DATABASE_URL environment variable is required"
    );
    deployment.stop().await;
}

#[tokio::test]
async fn an_unmigrated_database_is_alive_and_not_ready_until_migrate_has_run() {
    let deployment = Deployment::start().await;
    let (name, url) = new_database().await;
    let port = free_port();
    let mut vars = deployment.vars().clone();
    vars.insert("DATABASE_URL".into(), url.clone());
    vars.insert("PORT".into(), port.to_string());
    let mut service = tokio::process::Command::new(crate::support::BINARY)
        .arg("serve")
        .env_clear()
        .envs(&vars)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let begun = Instant::now();
    while deployment.http.get(at("/health")).send().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let health: Value = deployment
        .http
        .get(at("/health"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health, serde_json::json!({ "status": "ok" }));
    let ready = deployment.http.get(at("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().await.unwrap().contains("agentidp migrate"));
    let token = deployment
        .http
        .post(at("/api/v1/token"))
        .basic_auth(&deployment.operator.id, Some(&deployment.operator.secret))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), StatusCode::SERVICE_UNAVAILABLE);

    // Twice, and from two processes at once, while a third one takes its time.
    let third = PgPool::connect(&url).await.unwrap();
    let mut holding = third.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(migrate::LOCK)
        .execute(&mut *holding)
        .await
        .unwrap();
    let release = async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        holding.rollback().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(run(&["migrate"], &vars), run(&["migrate"], &vars), release);
    assert!(one.0 && two.0, "{one:?} {two:?}");
    third.close().await;
    assert!(run(&["migrate"], &vars).await.0);
    let ready = deployment.http.get(at("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let (first, second) = tokio::join!(run(&["bootstrap"], &vars), run(&["bootstrap"], &vars));
    assert!(
        first.0 != second.0,
        "one of them makes the operator: {first:?} {second:?}"
    );
    assert!(!run(&["bootstrap"], &vars).await.0);

    let pool = PgPool::connect(&url).await.unwrap();
    let history: Vec<String> =
        sqlx::query_scalar("SELECT name FROM schema_migrations ORDER BY name")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(history.first().map(String::as_str), Some("0001_tenants"));
    pool.close().await;
    service.kill().await.unwrap();
    let server = PgPool::connect(&std::env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "DROP DATABASE {name} WITH (FORCE)"
    )))
    .execute(&server)
    .await
    .unwrap();
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_flight_and_says_so() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let (http, url, client) = (
        deployment.http.clone(),
        deployment.url.clone(),
        tenant.agent.clone(),
    );
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (http, url, client) = (http.clone(), url.clone(), client.clone());
            tokio::spawn(async move {
                let mut answered = 0;
                loop {
                    let request = http
                        .post(format!("{url}/api/v1/token"))
                        .basic_auth(&client.id, Some(&client.secret));
                    match request
                        .form(&[("grant_type", "client_credentials")])
                        .send()
                        .await
                    {
                        Ok(answer) => {
                            assert_eq!(answer.status(), StatusCode::OK);
                            let _: Value = answer.json().await.expect("a whole answer");
                            answered += 1;
                        }
                        // Nobody listens any more: the request was never taken.
                        Err(error) => {
                            assert!(error.is_connect() || error.is_request(), "{error:?}");
                            return answered;
                        }
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let begun = Instant::now();
    deployment.stop_core().await;
    assert!(begun.elapsed() < Duration::from_secs(8));
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert!(answered > 0);
    let log = std::fs::read_to_string(deployment.log()).unwrap();
    assert!(log.contains(&format!(
        "SentryAgent.ai AgentIdP listening on port {}\n",
        deployment.vars()["PORT"]
    )));
    assert!(log.contains("Shutting down gracefully...\n"));
    let recorded: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_events WHERE action = 'token.issued' AND actor = $1",
    )
    .bind(tenant.agent.id.parse::<uuid::Uuid>().unwrap())
    .fetch_one(&deployment.pool)
    .await
    .unwrap();
    assert!(
        recorded >= answered,
        "{answered} answered, {recorded} recorded"
    );
    deployment.stop().await;
}

#[tokio::test]
async fn the_keys_command_makes_pairs_that_serve_takes() {
    for alg in ["EdDSA", "ES256", "RS256"] {
        let (made, printed, _) = run(&["keys", "generate", "--alg", alg], &HashMap::new()).await;
        assert!(made);
        let pair = crate::support::read_env(&printed);
        let pair: Vec<(&str, &str)> = pair
            .iter()
            .map(|(name, value)| (name.as_str(), value.trim_matches('"')))
            .collect();
        let deployment = Deployment::start_with(agentidp_verify::Algorithm::EdDSA, &pair).await;
        let keys: Value = deployment
            .http
            .get(format!("{}/.well-known/jwks.json", deployment.url))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(keys["keys"][0]["alg"], alg);
        deployment.stop().await;
    }
}

#[tokio::test]
async fn only_origins_on_the_list_get_cors_headers() {
    let deployment = Deployment::start_with(
        agentidp_verify::Algorithm::EdDSA,
        &[("CORS_ORIGIN", "https://a.example, https://b.example")],
    )
    .await;
    for (origin, allowed) in [("https://b.example", true), ("https://evil.example", false)] {
        let request = deployment.http.request(
            reqwest::Method::OPTIONS,
            format!("{}/api/v1/token", deployment.url),
        );
        let answer = request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
            .await
            .unwrap();
        let cors = answer
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(cors, allowed, "{origin}: {:?}", answer.headers());
    }
    deployment.stop().await;
}
