//! A hundred thousand tenants and a million agents: a call about one tenant reads
//! what it answers with and little else.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::lists::follow;
use crate::support::memory::resident_kib;
use crate::support::{Deployment, Tenant, text};

const TENANTS: i32 = 100_000;
const AGENTS: i32 = 1_000_000;

/// Among all others: one tenant in a thousand is suspended, one in ten thousand is
/// on a tier of its own, and one alone has a name with "needle".
async fn fill(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let org = "('01900000-0000-7000-8000-' || lpad(to_hex(N), 12, '0'))::uuid";
    let tenant = org.replace('N', "n");
    let of_agent = org.replace('N', &format!("(n % {TENANTS}) + 1"));
    let agent = tenant.replace("8000-", "9000-");
    for statement in [
        "INSERT INTO tiers SELECT 'rare', calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute,
                token_lifetime_s, module_digest FROM tiers WHERE tier = 'pro'"
            .to_owned(),
        // No trigger and no foreign key is asked for each row.
        "SET session_replication_role = replica".to_owned(),
        "SET synchronous_commit = off".to_owned(),
        format!(
            "INSERT INTO tenants (org_id, name, status, platform, created_at, updated_at)
             SELECT {tenant}, CASE n WHEN 77777 THEN 'the Needle' ELSE 'tenant ' || n END,
                    CASE WHEN n % 1000 = 0 THEN 'suspended' ELSE 'active' END, false, now(), now()
               FROM generate_series(1, {TENANTS}) n"
        ),
        format!(
            "INSERT INTO tenant_tiers
             SELECT {tenant}, CASE WHEN n % 10000 = 1 THEN 'rare' WHEN n % 3 = 0 THEN 'pro' ELSE 'free' END, now()
               FROM generate_series(1, {TENANTS}) n"
        ),
        format!(
            "INSERT INTO agents
             SELECT {agent}, {of_agent}, 'agent ' || n, 'custom', '1', '{{}}', '', 'development',
                    'active', '{{}}', now(), now()
               FROM generate_series(1, {AGENTS}) n"
        ),
        "ANALYZE tenants, tenant_tiers, agents".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let agents: i64 = sqlx::query_scalar("SELECT count(*) FROM agents")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(agents > i64::from(AGENTS));
    connection.close().await.unwrap();
}

/// Rows that were read of the large tables so far. What a connection has read is
/// told for certain when that has ended.
async fn rows_read(deployment: &Deployment) -> i64 {
    let mut last = -1;
    for _ in 0..50 {
        let read: i64 = sqlx::query_scalar(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables
              WHERE relname IN ('tenants', 'tenant_tiers', 'agents', 'credentials', 'resources')",
        )
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
        if read == last {
            return read;
        }
        last = read;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("somebody is still reading");
}

/// Does `calls`, and says how many rows they read and what the core has in memory then.
async fn measured(deployment: &mut Deployment, calls: impl AsyncFn(&Deployment)) -> (i64, u64) {
    deployment.stop_core().await;
    let before = rows_read(deployment).await;
    deployment.start_core().await;
    let begun = Instant::now();
    calls(deployment).await;
    let took = begun.elapsed();
    let resident = resident_kib(deployment.core_id());
    deployment.stop_core().await;
    let read = rows_read(deployment).await - before;
    deployment.start_core().await;
    println!("{read} rows read, {resident} KiB, {took:?}");
    (read, resident)
}

/// One call of everything about one tenant.
async fn about(deployment: &Deployment, tenant: &Tenant) {
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/tenants/{}", tenant.org_id);
    for (token, method, path, body) in [
        (&operator, "GET", path.clone(), Value::Null),
        (
            &operator,
            "PATCH",
            path.clone(),
            json!({ "name": "renamed" }),
        ),
        (&operator, "PATCH", path.clone(), json!({ "tier": "pro" })),
        (&operator, "GET", format!("{path}/usage"), Value::Null),
        (&admin, "GET", format!("{path}/settings"), Value::Null),
        (
            &admin,
            "PATCH",
            format!("{path}/settings"),
            json!({ "token_lifetime_s": 600 }),
        ),
        (&admin, "GET", "/agents".to_owned(), Value::Null),
        (
            &admin,
            "POST",
            "/agents".to_owned(),
            json!({ "name": "new" }),
        ),
        (
            &admin,
            "GET",
            format!("/agents/{}/usage", tenant.agent.id),
            Value::Null,
        ),
        (&admin, "GET", "/credentials".to_owned(), Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        deployment.must(token, method, &path, body).await;
    }
    let export = deployment
        .http
        .get(format!("{}/api/v1{path}/export", deployment.url))
        .bearer_auth(&admin)
        .send()
        .await
        .unwrap();
    assert_eq!(export.status(), StatusCode::OK);
    assert!(export.text().await.unwrap().contains(r#""type":"end""#));
    deployment.token(&tenant.agent).await;
}

#[tokio::test]
async fn among_a_hundred_thousand_tenants_a_call_reads_what_it_answers_with() {
    let mut deployment = Deployment::start().await;
    let begun = Instant::now();
    let url = deployment.vars()["DATABASE_URL"].clone();
    fill(&url).await;
    println!("filled in {:?}", begun.elapsed());
    let tenant = deployment.tenant("enterprise").await;

    let (read, resident) = measured(&mut deployment, async |deployment| {
        about(deployment, &tenant).await;
        let made = deployment.tenant("free").await;
        let operator = deployment.token(&deployment.operator).await;
        let path = format!("/tenants/{}", made.org_id);
        deployment.must(&operator, "DELETE", &path, None).await;
    })
    .await;
    assert!(read < 2_000, "{read} rows of 1,200,000");
    assert!(resident < 200 * 1024, "{resident} KiB");

    // Lists: twenty of each, so that a plan for all of them would have been made.
    let (read, _) = measured(&mut deployment, async |deployment| {
        let operator = deployment.token(&deployment.operator).await;
        let mut cursor = String::new();
        for _ in 0..20 {
            for (list, least) in [
                ("/tenants?limit=20", 20),
                ("/tenants?limit=20&status=suspended", 20),
                ("/tenants?limit=20&tier=rare", 10),
                ("/tenants?limit=20&tier=pro", 20),
                ("/tenants?limit=20&tier=rare&status=active", 10),
            ] {
                let page = deployment.must(&operator, "GET", list, None).await;
                let found = page["data"].as_array().unwrap().len();
                assert!(found >= least, "{list}: {found}");
            }
            let path = format!("/tenants?limit=20{cursor}");
            let page = deployment.must(&operator, "GET", &path, None).await;
            cursor = format!("&cursor={}", text(&page, "next_cursor"));
        }
    })
    .await;
    // 120 pages of 21 rows of two tables.
    assert!(read < 10_000, "{read} rows");

    // From the middle of the list on, whichever table leads.
    let (read, _) = measured(&mut deployment, async |deployment| {
        let operator = deployment.token(&deployment.operator).await;
        let middle = "01900000-0000-7000-8000-00000000f000"
            .parse::<uuid::Uuid>()
            .unwrap();
        let cursor = base64_of(middle);
        for filter in [
            "",
            "&tier=free",
            "&status=suspended",
            "&status=active&tier=pro",
        ] {
            for _ in 0..8 {
                let path = format!("/tenants?limit=20{filter}&cursor={cursor}");
                deployment.must(&operator, "GET", &path, None).await;
            }
        }
        let all = follow(
            deployment,
            &operator,
            "/tenants?limit=50&status=suspended",
            async |_| {},
        )
        .await;
        assert_eq!(all.len(), 100);
    })
    .await;
    assert!(read < 10_000, "{read} rows");

    // A text is looked for in every name.
    let (read, resident) = measured(&mut deployment, async |deployment| {
        let operator = deployment.token(&deployment.operator).await;
        let begun = Instant::now();
        let page = deployment
            .must(&operator, "GET", "/tenants?q=nEEdle", None)
            .await;
        println!("q took {:?}", begun.elapsed());
        assert_eq!(page["data"][0]["name"], "the Needle");
        let page = deployment
            .must(&operator, "GET", "/tenants?q=needle&tier=rare", None)
            .await;
        assert_eq!(page["data"], json!([]));
    })
    .await;
    assert!(read < 350_000, "each tenant once: {read} rows");
    assert!(resident < 200 * 1024, "{resident} KiB");
    deployment.stop().await;
}

fn base64_of(id: uuid::Uuid) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}
