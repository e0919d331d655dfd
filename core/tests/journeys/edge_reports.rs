//! Edges tell the core what they did: it shows in the core's metrics, and a tenant
//! sees why its agents are refused.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, read_env, run, secrets, status_at, text};

/// The value of the series whose line begins with `series`; 0 where there is none.
async fn metric(deployment: &Deployment, series: &str) -> f64 {
    let url = format!("{}/metrics", deployment.url);
    let metrics = deployment.http.get(url).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn what_an_edge_did_is_in_the_metrics_and_a_tenant_sees_why_its_agents_are_refused() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let other = deployment.tenant("enterprise").await;
    let settings = deployment
        .edge_settings(&[&tenant, &other], "files:read")
        .await;
    let id = settings.edge_id.clone();
    let url = deployment.start_edge_with(&settings).await + "/verify";
    let place: String = sqlx::query_scalar("SELECT place FROM edges WHERE edge_id = $1::uuid")
        .bind(&id)
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    let good = deployment.token(&tenant.agent).await;
    let revoked = deployment.token(&tenant.agent).await;
    deployment.revoke(&tenant.agent, &revoked).await;
    let narrow: Value = deployment
        .ask_token(&other.agent, &[("scope", "files:write")])
        .await
        .json()
        .await
        .unwrap();
    let narrow = text(&narrow, "access_token");
    secrets::keep_token(&narrow);
    let begun = Instant::now();
    while status_at(&deployment, &url, &revoked).await != StatusCode::UNAUTHORIZED {
        assert!(begun.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (token, status) in [
        (&revoked, StatusCode::UNAUTHORIZED),
        (&narrow, StatusCode::FORBIDDEN),
        (&narrow, StatusCode::FORBIDDEN),
        (&"a.b.c".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status_at(&deployment, &url, token).await, status);
    }
    // Each request is counted once, whenever it is reported.
    let result = |name: &str| {
        format!("agentidp_edge_verifications_total{{place=\"{place}\",result=\"{name}\"}}")
    };
    let mut admitted = 0.0;
    let begun = Instant::now();
    loop {
        assert_eq!(status_at(&deployment, &url, &good).await, StatusCode::OK);
        admitted += 1.0;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let reported = metric(&deployment, &result("insufficient_scope")).await;
        if reported >= 2.0 && metric(&deployment, &result("admitted")).await > 1.0 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "nothing is reported"
        );
    }
    assert!(metric(&deployment, &result("admitted")).await <= admitted);
    assert_eq!(
        metric(&deployment, &result("insufficient_scope")).await,
        2.0
    );
    assert_eq!(metric(&deployment, &result("malformed")).await, 1.0);
    assert!(metric(&deployment, &result("revoked")).await >= 2.0);
    let at = |name: &str| format!("agentidp_edge_{name}{{place=\"{place}\"}}");
    assert!(metric(&deployment, &at("cache_hits_total")).await > 0.0);
    assert_eq!(metric(&deployment, &at("cache_misses_total")).await, 4.0);
    assert!(metric(&deployment, &at("revocation_age_seconds_count")).await > 0.0);
    assert!(metric(&deployment, &at("last_report_timestamp_seconds")).await > 1.7e9);

    let refusals = async |token: &str, org_id: &str, query: &str| {
        let path = format!("/tenants/{org_id}/refusals{query}");
        deployment.call(token, "GET", &path, None).await
    };
    let admin = deployment.token(&tenant.administrator).await;
    let (status, mine) = refusals(&admin, &tenant.org_id, "").await;
    assert_eq!(status, StatusCode::OK, "{mine}");
    let listed = mine["data"].as_array().unwrap();
    assert!(!listed.is_empty(), "{mine}");
    for item in listed {
        assert_eq!(
            (&item["client_id"], &item["reason"]),
            (&json!(tenant.agent.id), &json!("revoked")),
            "{mine}"
        );
        assert!(item["count"].as_u64().unwrap() >= 1);
        assert!(text(item, "hour").ends_with(":00:00Z"), "{mine}");
    }
    let (_, none) = refusals(&admin, &tenant.org_id, "?reason=expired").await;
    assert_eq!(none["data"], json!([]));
    let (status, _) = refusals(&admin, &other.org_id, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let operator = deployment.token(&deployment.operator).await;
    let (_, theirs) = refusals(&operator, &other.org_id, "?reason=insufficient_scope").await;
    let counts = theirs["data"].as_array().unwrap().iter();
    let counted: u64 = counts.map(|item| item["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 2, "{theirs}");
    deployment.stop().await;
}

#[tokio::test]
async fn a_report_that_comes_twice_counts_once_and_nobody_is_refused_who_is_not_there() {
    let deployment = Deployment::start().await;
    let (tenant, other) = (
        deployment.tenant("pro").await,
        deployment.tenant("pro").await,
    );
    let (_, printed, _) = run(&["edge", "register", "fra1"], deployment.vars()).await;
    let edge = read_env(&printed);
    secrets::keep_credential(&edge["EDGE_ID"], &edge["EDGE_SECRET"]);
    let url = format!("{}/api/v1/edge/reports", deployment.url);
    let send = async |report: &Value| {
        let asked = deployment.http.post(&url).json(report);
        let asked = asked.basic_auth(&edge["EDGE_ID"], Some(&edge["EDGE_SECRET"]));
        asked.send().await.unwrap().status()
    };
    let refusal = |org_id: &str, client_id: &str, reason: &str| json!({ "org_id": org_id, "client_id": client_id, "reason": reason, "count": 3 });
    let nobody = "01a209e1-0221-757e-bba8-30b9b72bbe32";
    let report = json!({
        "report_id": "0b8b3b8e-6f0c-4d52-9d0e-6a3a1b1f4f00",
        "results": { "admitted": 5, "revoked": 3, "news": 2 },
        "cache_hits": 4,
        "cache_misses": 1,
        "stale_admits": 2,
        "revocation_age_ms": 700,
        "what a newer edge says": true,
        "refusals": [
            refusal(&tenant.org_id, &tenant.agent.id, "revoked"),
            refusal(&tenant.org_id, &tenant.agent.id, "revoked"),
            refusal(&tenant.org_id, &tenant.agent.id, "news"),
            refusal(&tenant.org_id, &other.agent.id, "revoked"),
            refusal(nobody, &tenant.agent.id, "revoked"),
            refusal(&tenant.org_id, nobody, "revoked"),
            refusal("x", "y", "revoked"),
        ],
    });
    let both = async || {
        let rest = metric(
            &deployment,
            "agentidp_edge_verifications_total{place=\"fra1\",result=\"admitted\"}",
        );
        let other = metric(
            &deployment,
            "agentidp_edge_verifications_total{place=\"fra1\",result=\"other\"}",
        );
        (rest.await, other.await)
    };
    for _ in 0..3 {
        assert_eq!(send(&report).await, StatusCode::OK);
        assert_eq!(both().await, (5.0, 2.0));
    }
    let replica = deployment.replica(&[]).await;
    let asked = deployment
        .http
        .post(format!("{}/api/v1/edge/reports", replica.url))
        .json(&report)
        .basic_auth(&edge["EDGE_ID"], Some(&edge["EDGE_SECRET"]));
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK);
    let elsewhere = "agentidp_edge_verifications_total{place=\"fra1\",result=\"admitted\"}";
    assert_eq!(
        metric(&replica, elsewhere).await,
        0.0,
        "nor at another replica"
    );
    replica.stop().await;

    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/tenants/{}/refusals", tenant.org_id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let mut listed: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            assert_eq!(item["client_id"], tenant.agent.id);
            (text(item, "reason"), item["count"].as_u64().unwrap())
        })
        .collect();
    listed.sort();
    assert_eq!(listed, [("other".to_owned(), 3), ("revoked".to_owned(), 6)]);
    let new = |id: u32| json!(format!("0b8b3b8e-6f0c-4d52-9d0e-6a3a1b1f4f{id:02}"));
    // A page at a time, and more of the same in another report.
    let mut more = report.clone();
    more["report_id"] = new(1);
    assert_eq!(send(&more).await, StatusCode::OK);
    let first = deployment
        .must(&admin, "GET", &format!("{path}?limit=1"), None)
        .await;
    let cursor = text(&first, "next_cursor");
    let second = deployment
        .must(
            &admin,
            "GET",
            &format!("{path}?limit=1&cursor={cursor}"),
            None,
        )
        .await;
    let counts = [&first, &second].map(|page| page["data"][0]["count"].as_u64().unwrap());
    assert_eq!(counts.iter().sum::<u64>(), 18);

    let with = |name: &str, value: Value| {
        let mut bad = report.clone();
        bad["report_id"] = new(2);
        bad[name] = value;
        bad
    };
    let many = vec![refusal(&tenant.org_id, &tenant.agent.id, "revoked"); 101];
    for bad in [
        with("report_id", json!("x")),
        with("refusals", json!(many)),
        with("cache_hits", json!(-1)),
        with("results", json!({ "admitted": "5" })),
    ] {
        assert_eq!(send(&bad).await, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    for secret in [&edge["EDGE_ID"], &deployment.operator.secret] {
        let asked = deployment
            .http
            .post(&url)
            .json(&with("cache_hits", json!(1)));
        let asked = asked.basic_auth(&edge["EDGE_ID"], Some(secret));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(both().await, (10.0, 4.0));
    deployment.stop().await;
}
