//! `docs/openapi.json` says what is there: every documented call is served, every
//! route is documented.

use serde_json::Value;

use crate::support::{Deployment, root};

const ID: &str = "01a209e1-0221-757e-bba8-30b9b72bbe32";

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("docs/openapi.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn every_documented_call_is_served_and_answers_with_a_documented_status() {
    let deployment = Deployment::start().await;
    let document = document();
    let mut called = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(method, _)| *method != "parameters")
        {
            let url = path
                .replace("{org_id}", ID)
                .replace("{resource_id}", ID)
                .replace("{agent_id}", ID)
                .replace("{credential_id}", ID);
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = deployment
                .http
                .request(method.clone(), format!("{}{url}", deployment.url))
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            assert!(!matches!(status, 404 | 405), "{method} {path} is not there");
            assert!(
                operation["responses"].get(status.to_string()).is_some(),
                "{method} {path} answered {status}"
            );
            called += 1;
        }
    }
    assert!(called >= 28, "{called}");
    deployment.stop().await;
}

#[test]
fn every_route_is_documented() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let mut found = 0;
    for file in [
        "tokens/mod.rs",
        "tenants/api.rs",
        "resources/api.rs",
        "agents/api.rs",
        "credentials/api.rs",
        "edge_sync/api.rs",
    ] {
        let source = std::fs::read_to_string(root().join("core/src").join(file)).unwrap();
        for route in source.split(".route(").skip(1) {
            let route = route.split('"').nth(1).unwrap();
            assert!(paths.contains_key(route), "{route} of {file}");
            found += 1;
        }
    }
    assert!(found >= 12, "{found}");
}
