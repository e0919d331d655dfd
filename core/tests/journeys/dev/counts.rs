//! What `agentidp dev` counts in memory.

use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::Value;

use super::{Dev, signal};
use crate::support::{new_database, text};

#[tokio::test]
async fn counts_of_tokens_and_of_calls_outlive_the_process_that_has_them_in_memory() {
    // A limit that is smaller than 64 is marked use by use: nothing is rounded.
    const LIMIT: usize = 20;
    let (name, database_url) = new_database().await;
    let dev = Dev::on(&database_url);
    let mut running = dev.start("exec", 1).await;
    let pool = sqlx::PgPool::connect(&database_url).await.unwrap();
    sqlx::query("UPDATE tiers SET tokens_per_day = $1, calls_per_day = $1 WHERE tier = 'free'")
        .bind(i64::try_from(LIMIT).unwrap())
        .execute(&pool)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let admin = dev.ask_token("AGENTIDP_ADMIN_CLIENT").await;
    let admin = text(&admin.json::<Value>().await.unwrap(), "access_token");
    let list = async || {
        let request = dev
            .http
            .get(format!("http://127.0.0.1:{}/api/v1/agents", dev.port));
        request.bearer_auth(&admin).send().await.unwrap().status()
    };
    let (mut tokens, mut calls) = (1, 0);
    for start in 2..5 {
        for _ in 0..4 {
            dev.token().await;
            assert_eq!(list().await, StatusCode::OK);
            (tokens, calls) = (tokens + 1, calls + 1);
        }
        // By a stop, and by a kill.
        signal(
            &running,
            if start == 3 {
                Signal::KILL
            } else {
                Signal::TERM
            },
        );
        running.wait().await.unwrap();
        dev.none_is_left().await;
        running = dev.start("exec", start).await;
    }
    while dev.ask_token("AGENTIDP_CLIENT").await.status() == StatusCode::OK {
        tokens += 1;
    }
    while list().await == StatusCode::OK {
        calls += 1;
    }
    assert_eq!((tokens, calls), (LIMIT, LIMIT));
    signal(&running, Signal::TERM);
    assert!(running.wait().await.unwrap().success());
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    let server = sqlx::PgPool::connect(&std::env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(drop))
        .execute(&server)
        .await
        .unwrap();
}
