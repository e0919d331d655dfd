//! What Prometheus reads: the contract's names with the contract's labels, and no
//! more series than somebody can pay for.

mod text;

use std::collections::BTreeSet;

use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use self::text::{read, value};
use crate::support::contract::{METRICS, OURS};
use crate::support::{Deployment, free_port, raw};

/// The window is the day: nothing is counted into two.
const SETTINGS: [(&str, &str); 1] = [("RATE_LIMIT_WINDOW_MS", "86400000")];

async fn scrape(deployment: &Deployment) -> String {
    let url = format!("{}/metrics", deployment.url);
    let answer = deployment.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    answer.text().await.unwrap()
}

#[tokio::test]
async fn each_metric_of_the_contract_is_there_with_its_type_its_labels_and_its_count() {
    let deployment = Deployment::start_with(Algorithm::EdDSA, &SETTINGS).await;
    sqlx::raw_sql(
        "UPDATE tiers SET requests_per_minute = 6 WHERE tier = 'free';
         UPDATE tiers SET tokens_per_day = 4 WHERE tier = 'pro'",
    )
    .execute(&deployment.pool)
    .await
    .unwrap();
    let (free, pro) = (
        deployment.tenant("free").await,
        deployment.tenant("pro").await,
    );
    for _ in 0..8 {
        deployment.ask_token(&free.agent, &[]).await;
    }
    let admin = deployment.token(&pro.administrator).await;
    for _ in 0..4 {
        deployment
            .ask_token(&pro.agent, &[("scope", "files:read")])
            .await;
    }
    for name in ["a", "b"] {
        let new = Some(json!({ "name": name, "deployment_env": "production" }));
        deployment.must(&admin, "POST", "/agents", new).await;
    }

    let text = scrape(&deployment).await;
    let series = read(&text);
    let mut names = BTreeSet::new();
    for (name, kind, labels) in METRICS {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for suffix in suffixes {
            let mut labels: BTreeSet<&str> = labels.iter().copied().collect();
            if *suffix == "_bucket" {
                labels.insert("le");
            }
            let name = format!("{name}{suffix}");
            let mut found = series.iter().filter(|one| one.name == name).peekable();
            assert!(found.peek().is_some(), "{name}");
            for one in found {
                let has: BTreeSet<&str> = one.labels.keys().map(String::as_str).collect();
                assert_eq!(has, labels, "{name}");
            }
            names.insert(name);
        }
    }
    for one in &series {
        let ours = OURS.contains(&one.name.as_str());
        assert!(
            ours || names.contains(&one.name),
            "{} is nobody's",
            one.name
        );
    }

    let count = |name, labels: &[(&str, &str)]| value(&series, name, labels);
    let tokens = "agentidp_tokens_issued_total";
    assert_eq!(count(tokens, &[("scope", "files:read files:write")]), 6.0);
    assert_eq!(count(tokens, &[("scope", "files:read")]), 2.0);
    let agents = "agentidp_agents_registered_total";
    assert_eq!(count(agents, &[("deployment_env", "production")]), 2.0);
    assert_eq!(count(agents, &[("deployment_env", "development")]), 2.0);
    let hits = "agentidp_rate_limit_hits_total";
    assert_eq!(count(hits, &[("client_id", &free.agent.id)]), 2.0);
    let calls = "agentidp_tenant_api_calls_total";
    assert_eq!(
        count(calls, &[("org_id", &pro.org_id), ("tier", "pro")]),
        5.0
    );
    let refused = "agentidp_billing_limit_rejections_total";
    let limit = [
        ("org_id", pro.org_id.as_str()),
        ("limit_type", "tokens_per_day"),
    ];
    assert_eq!(count(refused, &limit), 2.0);
    let made = [
        ("method", "POST"),
        ("route", "/api/v1/agents"),
        ("status_code", "201"),
    ];
    assert_eq!(count("agentidp_http_requests_total", &made), 4.0);
    assert_eq!(
        count("agentidp_http_request_duration_seconds_count", &made),
        4.0
    );
    for (name, label, value) in [
        (
            "agentidp_db_query_duration_seconds_count",
            "operation",
            "insert",
        ),
        (
            "agentidp_db_query_duration_seconds_count",
            "operation",
            "select",
        ),
        (
            "agentidp_redis_command_duration_seconds_count",
            "command",
            "incr",
        ),
    ] {
        assert!(count(name, &[(label, value)]) > 0.0, "{name} {value}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn routes_are_templates_and_nobody_makes_series_by_paths_methods_or_words() {
    let deployment = Deployment::start_with(Algorithm::EdDSA, &SETTINGS).await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let ask = async |n: u32| {
        for path in [
            format!("/agents/01a209e1-0221-757e-bba8-30b9b72b{n:04x}"),
            format!("/agents/{n}/credentials/{n}/rotate"),
            format!("/agents?q={n}"),
            format!("/nothing/{n}"),
        ] {
            deployment.call(&admin, "GET", &path, None).await;
        }
        for method in [format!("BREW{n}"), "PUT".to_owned()] {
            let request =
                format!("{method} /x{n} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            raw(&deployment.url, &request).await;
        }
    };
    ask(0).await;
    let before = read(&scrape(&deployment).await).len();
    for n in 1..20 {
        ask(n).await;
    }
    let text = scrape(&deployment).await;
    let series = read(&text);
    // The first scrape has been counted since: a series of its own.
    let scraped = 1 + series
        .iter()
        .filter(|one| {
            one.name.starts_with("agentidp_http_request_duration")
                && one
                    .labels
                    .get("route")
                    .is_some_and(|route| route == "/metrics")
        })
        .count();
    assert_eq!(series.len(), before + scraped);
    let routes: BTreeSet<&str> = series
        .iter()
        .filter_map(|one| one.labels.get("route"))
        .map(String::as_str)
        .collect();
    assert!(routes.contains("/api/v1/agents/{agent_id}"), "{routes:?}");
    assert!(
        routes.contains("/api/v1/agents/{agent_id}/credentials/{credential_id}/rotate"),
        "{routes:?}"
    );
    assert!(routes.contains("none"), "{routes:?}");
    assert!(!text.contains("01a209e1-0221"));
    let methods: BTreeSet<&str> = series
        .iter()
        .filter_map(|one| one.labels.get("method"))
        .map(String::as_str)
        .collect();
    assert!(
        methods.is_subset(&["GET", "POST", "PUT", "other"].into()),
        "{methods:?}"
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_port_of_their_own_takes_the_metrics_off_the_services_port() {
    let port = free_port().to_string();
    let deployment = Deployment::start_with(Algorithm::EdDSA, &[("METRICS_PORT", &port)]).await;
    let get = async |url: String| deployment.http.get(url).send().await.unwrap();
    let answer = get(format!("{}/metrics", deployment.url)).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let own = format!("http://127.0.0.1:{port}");
    let answer = get(format!("{own}/metrics")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4"
    );
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("# TYPE agentidp_http_requests_total counter\n"),
        "{text}"
    );
    // Nothing else is there.
    for path in ["/health", "/api/v1/agents", "/.well-known/jwks.json", "/"] {
        assert_eq!(
            get(format!("{own}{path}")).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    deployment.stop().await;
}
