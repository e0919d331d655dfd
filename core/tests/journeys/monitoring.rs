//! What operators see: a real Prometheus reads a core that has had traffic, and the
//! dashboard and the alerts ask it for nothing that is not there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::compose::yaml;
use crate::support::contract::METRICS;
use crate::support::prometheus::{Prometheus, promtool};
use crate::support::{Client, Deployment, Tenant, free_port, read_env, root, run, status_at};

fn dashboard() -> Value {
    let file = root().join("monitoring/grafana/dashboards/agentidp.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Every expression of the dashboard, with Grafana's variable filled in.
fn dashboards_expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let expression = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    targets
        .map(|target| expression(target).replace("$__rate_interval", "1m"))
        .collect()
}

async fn alerts() -> Vec<(String, String)> {
    let rules = yaml("monitoring/prometheus/rules.yml").await;
    let text = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| (text(rule, "alert"), text(rule, "expr")))
        .collect()
}

/// Tokens for two scopes, an agent, refusals of a window and of a month, and paths
/// that nobody serves.
async fn traffic(deployment: &Deployment, busy: &Tenant, spent: &Tenant) {
    let token = deployment.token(&deployment.operator).await;
    assert!(!token.is_empty());
    loop {
        let answer = deployment.ask_token(&busy.agent, &[]).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = deployment.ask_token(&spent.agent, &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let admin = deployment.token(&busy.administrator).await;
    let name = format!("worker-{:08x}", rand::random::<u32>());
    let agent = json!({ "name": name, "deployment_env": "production" });
    deployment
        .must(&admin, "POST", "/agents", Some(agent))
        .await;
    let agent = format!("/agents/{}", busy.agent.id);
    deployment.must(&admin, "GET", &agent, None).await;
    for nothing in [
        "/nothing",
        "/api/v1/nothing",
        "/api/v1/agents/1/2/3",
        "/api/v1/agents/1",
    ] {
        let url = format!("{}{nothing}", deployment.url);
        assert!(status_at(deployment, &url, &admin).await.is_client_error());
    }
}

/// A registered edge's id and secret.
async fn edge(deployment: &Deployment) -> Client {
    let (_, printed, _) = run(&["edge", "register", "fra1"], deployment.vars()).await;
    let edge = read_env(&printed);
    Client::from_json(&json!({
        "client_id": edge["EDGE_ID"],
        "client_secret": edge["EDGE_SECRET"],
    }))
}

/// What an edge reports.
async fn report(deployment: &Deployment, edge: &Client) {
    let report = json!({
        "report_id": format!("0b8b3b8e-6f0c-4d52-9d0e-{:012x}", rand::random::<u32>()),
        "results": { "admitted": 9, "revoked": 1 },
        "cache_hits": 8,
        "cache_misses": 2,
        "stale_admits": 1,
        "revocation_age_ms": 600,
    });
    let url = format!("{}/api/v1/edge/reports", deployment.url);
    let asked = deployment.http.post(url).json(&report);
    let asked = asked.basic_auth(&edge.id, Some(&edge.secret));
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK);
}

/// A tenant whose agent has had its month's tokens.
async fn spent_tenant(deployment: &Deployment) -> Tenant {
    sqlx::query("UPDATE tiers SET tokens_per_month = 1 WHERE tier = 'pro'")
        .execute(&deployment.pool)
        .await
        .unwrap();
    let tenant = deployment.tenant("pro").await;
    deployment.token(&tenant.agent).await;
    tenant
}

#[tokio::test]
async fn a_real_prometheus_finds_the_contracts_metrics_and_the_dashboard_has_data() {
    let deployment = Deployment::start().await;
    let spent = spent_tenant(&deployment).await;
    let busy = deployment.tenant("free").await;
    let admin = deployment.token(&busy.administrator).await;
    let soon = agentidp_core::clock::Now::read().timestamp() + time::Duration::days(2);
    let soon = soon
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let credentials = format!("/agents/{}/credentials", busy.agent.id);
    let ending = Some(json!({ "expires_at": soon }));
    deployment.must(&admin, "POST", &credentials, ending).await;
    traffic(&deployment, &busy, &spent).await;
    let edge = edge(&deployment).await;
    report(&deployment, &edge).await;

    let target = deployment.url.trim_start_matches("http://");
    let prometheus = Prometheus::start(&deployment.folder, target).await;
    let begun = Instant::now();
    while prometheus
        .query("agentidp_tokens_issued_total")
        .await
        .is_empty()
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What rates are made of: something between two readings.
    traffic(&deployment, &busy, &spent).await;
    report(&deployment, &edge).await;
    let issued = deployment.events("token.issued").await as f64;
    let begun = Instant::now();
    while prometheus.query("sum(agentidp_tokens_issued_total)").await != [issued] {
        assert!(begun.elapsed() < Duration::from_secs(60), "{issued} tokens");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    for (metric, kind, labels) in METRICS {
        let (found, names) = prometheus.describe(metric).await;
        let labels: BTreeSet<String> = labels.iter().map(|&label| label.to_owned()).collect();
        assert_eq!((found.as_str(), names), (kind, labels), "{metric}");
    }
    counts_are_true(&prometheus, &busy, &spent).await;
    let routes = prometheus
        .values("agentidp_http_requests_total", "route")
        .await;
    let served = [
        "/api/v1/agents",
        "/api/v1/agents/{agent_id}",
        "/api/v1/agents/{agent_id}/credentials",
        "/api/v1/edge/reports",
        "/api/v1/resources",
        "/api/v1/tenants",
        "/api/v1/token",
        "/metrics",
        "/ready",
        "none",
    ];
    assert_eq!(routes, BTreeSet::from(served.map(str::to_owned)));

    for expression in dashboards_expressions() {
        let values = prometheus.query(&expression).await;
        assert!(!values.is_empty(), "no data: {expression}");
        assert!(values.iter().any(|value| !value.is_nan()), "{expression}");
    }
    for (name, expression) in alerts().await {
        let fires = !prometheus.query(&expression).await.is_empty();
        let expected = match name.as_str() {
            "AgentIdPCredentialsExpiring" => true,
            // Whether it does depends on how fast this machine is.
            "AgentIdPTokensSlow" | "AgentIdPDatabaseSlow" | "AgentIdPRedisSlow" => continue,
            _ => false,
        };
        assert_eq!(fires, expected, "{name}");
    }
    prometheus.stop().await;
    deployment.stop().await;
}

async fn counts_are_true(prometheus: &Prometheus, busy: &Tenant, spent: &Tenant) {
    let one = async |expression: String| prometheus.query(&expression).await;
    let registered = "agentidp_agents_registered_total{deployment_env=\"production\"}";
    assert_eq!(one(registered.to_owned()).await, [2.0]);
    let hits = format!(
        "agentidp_rate_limit_hits_total{{client_id=\"{}\"}}",
        busy.agent.id
    );
    assert_eq!(one(hits).await, [2.0]);
    let rejected = format!(
        "agentidp_billing_limit_rejections_total{{org_id=\"{}\",limit_type=\"tokens_per_month\"}}",
        spent.org_id
    );
    assert_eq!(one(rejected).await, [2.0]);
    let refused = "sum(agentidp_http_requests_total{route=\"/api/v1/token\",status_code=\"429\"})";
    assert_eq!(one(refused.to_owned()).await, [4.0]);
    // A resource, an agent and two credentials; twice one more agent and two looks.
    let calls = format!(
        "agentidp_tenant_api_calls_total{{org_id=\"{}\",tier=\"free\"}}",
        busy.org_id
    );
    assert_eq!(one(calls).await, [10.0]);
    // Counted now and then, so it may be the next reading that has it.
    let begun = Instant::now();
    while one("agentidp_credentials_expiring_soon_total".to_owned()).await != [1.0] {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn promtool_accepts_the_configuration_the_rules_and_the_metrics() {
    let folder = "monitoring/prometheus";
    for arguments in [
        ["check", "config", &format!("{folder}/prometheus.yml")],
        ["check", "rules", &format!("{folder}/rules.yml")],
        ["test", "rules", &format!("{folder}/rules.test.yml")],
    ] {
        let outcome = promtool(&arguments, "").await;
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{arguments:?}: {said}");
    }
    // Each alert is played, on the day that it fires.
    let played = std::fs::read_to_string(root().join(folder).join("rules.test.yml")).unwrap();
    for (alert, _) in alerts().await {
        assert!(
            played.contains(&format!("alertname: {alert}\n        exp_alerts:")),
            "{alert}"
        );
    }

    let deployment = Deployment::start().await;
    let url = format!("{}/metrics", deployment.url);
    let metrics = deployment.http.get(url).send().await.unwrap();
    let outcome = promtool(&["check", "metrics"], &metrics.text().await.unwrap()).await;
    let said = String::from_utf8_lossy(&outcome.stdout) + String::from_utf8_lossy(&outcome.stderr);
    // The contract's name, which no rule of style can change.
    assert_eq!(
        said.trim(),
        r#"agentidp_credentials_expiring_soon_total non-counter metrics should not have "_total" suffix"#
    );
    deployment.stop().await;
}

#[tokio::test]
async fn grafana_is_given_the_dashboard_the_folder_and_where_prometheus_is() {
    let provisioning = "monitoring/grafana/provisioning";
    let dashboards = yaml(&format!("{provisioning}/dashboards/agentidp.yml")).await;
    let provider = &dashboards["providers"][0];
    assert_eq!(provider["folder"], "AgentIdP");
    let sources = yaml(&format!("{provisioning}/datasources/prometheus.yml")).await;
    let source = &sources["datasources"][0];
    assert_eq!(source["url"], "http://prometheus:9090");
    let overlay = yaml("compose.monitoring.yaml").await;
    let mounted = overlay["services"]["grafana"]["volumes"]
        .as_array()
        .unwrap();
    let folder = provider["options"]["path"].as_str().unwrap();
    for mount in [
        format!("./{provisioning}:/etc/grafana/provisioning:ro"),
        format!("./monitoring/grafana/dashboards:{folder}:ro"),
    ] {
        assert!(mounted.contains(&json!(mount)), "{mount}");
    }
    let settings = &overlay["services"]["grafana"]["environment"];
    assert_eq!(settings["GF_SECURITY_ADMIN_USER"], "admin");

    let dashboard = dashboard();
    assert_eq!(dashboard["title"], "SentryAgent.ai — AgentIdP");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        assert!(panel["description"].as_str().unwrap().len() > 20, "{title}");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        assert_eq!(panel["datasource"]["uid"], source["uid"], "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|n| panel["gridPos"][n].as_u64().unwrap());
        assert!(x + w <= 24, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies on another panel");
        }
    }
    // And every metric of the contract is somewhere on it.
    let shown = dashboards_expressions().join("\n");
    for (metric, _, _) in METRICS {
        assert!(shown.contains(metric), "{metric}");
    }
}

#[tokio::test]
async fn metrics_are_on_a_port_of_their_own_where_one_is_set() {
    let port = free_port();
    let deployment = Deployment::start_with(
        agentidp_verify::Algorithm::EdDSA,
        &[("METRICS_PORT", &port.to_string())],
    )
    .await;
    let status = async |url: String| deployment.http.get(url).send().await.unwrap().status();
    let own = format!("http://127.0.0.1:{port}");
    assert_eq!(status(format!("{own}/metrics")).await, StatusCode::OK);
    // Neither listener has what is the other's.
    for elsewhere in [
        format!("{}/metrics", deployment.url),
        format!("{own}/api/v1/token"),
        format!("{own}/ready"),
    ] {
        assert_eq!(status(elsewhere).await, StatusCode::NOT_FOUND);
    }
    deployment.stop().await;
}
