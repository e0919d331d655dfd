//! The lists' parameters.

use std::collections::BTreeSet;

use reqwest::StatusCode;

use super::{document, operations, parameters, upload, watching};
use crate::support::{Deployment, text};

/// Parameters that some list takes, each with a value that it would take.
const FILTERS: [(&str, &str); 13] = [
    ("limit", "5"),
    ("cursor", "AYv-tgAAcAAAAAAAAAAAAA"),
    ("status", "active"),
    ("tier", "pro"),
    ("q", "a"),
    ("owner", "a"),
    ("agent_type", "a"),
    ("deployment_env", "a"),
    ("expires_before", "2030-01-01T00:00:00Z"),
    ("place", "a"),
    ("client_id", "01a209e1-0221-757e-bba8-30b9b72bbe32"),
    ("reason", "revoked"),
    ("since", "2030-01-01T00:00:00Z"),
];
#[tokio::test]
async fn every_filter_that_a_list_takes_is_documented_and_no_other() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let operator = deployment.token(&deployment.operator).await;
    let (.., version) = upload(&deployment, &admin, &tenant, watching()).await;
    let document = document();
    let mut lists = 0;
    for (path, _, operation) in operations(&document) {
        let documented = parameters(&document, operation, "query");
        if !documented.contains("cursor") {
            continue;
        }
        let path = path.trim_start_matches("/api/v1");
        let path = path
            .replace("{agent_id}", &tenant.agent.id)
            .replace("{org_id}", &tenant.org_id)
            .replace("{digest}", &text(&version, "digest"));
        let mut taken = BTreeSet::new();
        for (name, value) in FILTERS {
            let asked = format!("{path}?{name}={value}");
            let caller = if path == "/edges" { &operator } else { &admin };
            match deployment.call(caller, "GET", &asked, None).await.0 {
                StatusCode::OK => taken.insert(name.to_owned()),
                StatusCode::BAD_REQUEST => false,
                other => panic!("{asked}: {other}"),
            };
        }
        assert_eq!(taken, documented, "{path}");
        lists += 1;
    }
    assert_eq!(lists, 8);
    deployment.stop().await;
}
