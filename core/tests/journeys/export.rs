//! All that a tenant has, as JSON lines.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::guest::denying;
use crate::support::memory::resident_kib;
use crate::support::{Deployment, Tenant, text};

/// So many agents, each with a credential, and as many events with `bytes` of details.
async fn fill(deployment: &Deployment, tenant: &Tenant, count: i32, bytes: i32) {
    for statement in [
        "INSERT INTO agents SELECT gen_random_uuid(), $1::uuid, 'bulk ' || n, 'custom', '1', '{}', '',
                'development', 'active', '{}', now(), now() FROM generate_series(1, $2) n WHERE $3 > 0",
        "INSERT INTO credentials (credential_id, agent_id, org_id, secret_sha256, expires_at, created_at)
         SELECT gen_random_uuid(), agent_id, org_id, sha256(agent_id::text::bytea),
                now() + interval '1 day', now()
           FROM agents WHERE org_id = $1::uuid AND name LIKE 'bulk %' AND $2 > 0 AND $3 > 0",
        "INSERT INTO audit_events
         SELECT ('01900000' || substr(gen_random_uuid()::text, 9))::uuid, now(), $1::uuid, NULL, 'bulk.made', 'x',
                jsonb_build_object('text', repeat('x', $3)) FROM generate_series(1, $2)",
    ] {
        sqlx::query(statement)
            .bind(&tenant.org_id)
            .bind(count)
            .bind(bytes)
            .execute(&deployment.pool)
            .await
            .unwrap();
    }
}

fn path(tenant: &Tenant) -> String {
    format!("/tenants/{}/export", tenant.org_id)
}

#[tokio::test]
async fn an_export_has_all_that_a_tenant_has_once_and_nothing_secret() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let other = deployment.tenant("enterprise").await;
    fill(&deployment, &tenant, 3_000, 10).await;
    deployment
        .put_policy(&tenant, &denying("No."), &[], "shadow")
        .await;
    let digests: Vec<Vec<u8>> = sqlx::query_scalar("SELECT secret_sha256 FROM credentials")
        .fetch_all(&deployment.pool)
        .await
        .unwrap();
    assert!(digests.len() > 3_000);
    for reader in [&tenant.administrator, &deployment.operator] {
        let token = deployment.token(reader).await;
        let answer = deployment
            .http
            .get(format!("{}/api/v1{}", deployment.url, path(&tenant)))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        let text = answer.text().await.unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &lines {
            *counts.entry(line["type"].as_str().unwrap()).or_default() += 1;
        }
        let events: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE org_id = $1::uuid")
                .bind(&tenant.org_id)
                .fetch_one(&deployment.pool)
                .await
                .unwrap();
        let expected = BTreeMap::from([
            ("tenant", 1),
            ("settings", 1),
            ("resource", 1),
            ("agent", 3_002),
            ("credential", 3_002),
            ("policy_version", 1),
            ("audit_event", usize::try_from(events).unwrap()),
            ("end", 1),
        ]);
        assert_eq!(counts, expected);
        let unique: HashSet<&str> = text.lines().collect();
        assert_eq!(unique.len(), lines.len(), "nothing twice");
        let end = lines.last().unwrap();
        assert_eq!(end["lines"], json!(lines.len() - 1));
        assert_eq!(lines[0]["org_id"], json!(tenant.org_id));
        // No secret, and no digest in any spelling.
        assert!(!text.contains("agentidp_cs_") && !text.contains("secret_sha256"));
        for digest in &digests {
            let hex = hex(digest);
            assert!(!text.contains(&hex));
        }
        assert!(!text.contains(&other.org_id) && !text.contains(&other.agent.id));
    }
    assert_eq!(deployment.events("tenant.exported").await, 2);
    deployment.stop().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_export_needs_every_scope_that_it_reads_by() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let other = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let scopes = [
        "tenants:read",
        "agents:read",
        "credentials:read",
        "policies:read",
        "resources:read",
        "audit:read",
    ];
    for missing in scopes {
        let held: Vec<&str> = scopes
            .into_iter()
            .filter(|scope| *scope != missing)
            .collect();
        let agent = deployment
            .agent(&admin, &format!("no {missing}"), &held)
            .await;
        let token = deployment.token(&agent).await;
        let (status, _) = deployment.call(&token, "GET", &path(&tenant), None).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "without {missing}");
    }
    let (status, _) = deployment.call(&admin, "GET", &path(&other), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let operator = deployment.token(&deployment.operator).await;
    let none = format!("/tenants/{}/export", uuid::Uuid::nil());
    let (status, _) = deployment.call(&operator, "GET", &none, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(deployment.events("tenant.exported").await, 0);
    deployment.stop().await;
}

#[tokio::test]
async fn readers_that_are_slow_or_go_away_hold_neither_memory_nor_connections() {
    let deployment = Deployment::start_with(
        agentidp_verify::Algorithm::EdDSA,
        &[("DATABASE_POOL_SIZE", "4")],
    )
    .await;
    let tenant = deployment.tenant("enterprise").await;
    // 40 MB of events.
    fill(&deployment, &tenant, 10_000, 4_000).await;
    let admin = deployment.token(&tenant.administrator).await;
    let request = format!(
        "GET /api/v1{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n\r\n",
        path(&tenant)
    );
    let address = deployment.url.trim_start_matches("http://").to_owned();
    let before = resident_kib(deployment.core_id());
    let mut readers = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 64];
        stream.read_exact(&mut head).await.unwrap();
        assert!(
            head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        readers.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Ten times as many readers as connections to the database: others are served.
    for _ in 0..20 {
        deployment
            .must(&admin, "GET", "/agents?limit=1", None)
            .await;
    }
    let grown = resident_kib(deployment.core_id()).saturating_sub(before);
    println!("40 slow readers of 40 MB each: {grown} KiB");
    assert!(grown < 100 * 1024, "{grown} KiB");
    drop(readers);
    deployment.token(&tenant.agent).await;
    let answer = deployment
        .http
        .get(format!("{}/api/v1{}", deployment.url, path(&tenant)))
        .bearer_auth(&admin)
        .send()
        .await
        .unwrap();
    let whole = answer.text().await.unwrap();
    let end: Value = serde_json::from_str(whole.lines().last().unwrap()).unwrap();
    assert_eq!(text(&end, "type"), "end");
    assert!(whole.len() > 40_000_000);
    deployment.is_well().await;
    deployment.stop().await;
}
