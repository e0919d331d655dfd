//! Clients that nobody here wrote: npm's `oauth4webapi`, `openid-client`, `jose` and
//! `@modelcontextprotocol/sdk`, and PyPI's `Authlib`.

use std::path::PathBuf;

use agentidp_core::dev::EdgeSettings;
use agentidp_verify::Algorithm;
use serde_json::json;

use crate::support::{Deployment, Tenant, free_port, root};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

async fn node(deployment: &Deployment, script: &str, vars: &[(&str, &str)]) {
    assert!(
        scripts().join("node_modules/openid-client").exists(),
        "the clients are not installed: make clients"
    );
    run(deployment, "node".into(), script, vars).await;
}

async fn python(deployment: &Deployment, script: &str, vars: &[(&str, &str)]) {
    let python = root().join("target/clients-venv/bin/python");
    assert!(
        python.exists(),
        "the clients are not installed: make clients"
    );
    run(deployment, python, script, vars).await;
}

fn scripts() -> PathBuf {
    root().join("core/tests/clients")
}

async fn run(deployment: &Deployment, program: PathBuf, script: &str, vars: &[(&str, &str)]) {
    let output = tokio::process::Command::new(&program)
        .current_dir(scripts())
        .arg(script)
        .env("ISSUER", deployment.issuer())
        .envs(vars.iter().copied())
        .output()
        .await
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.trim_end().ends_with("done"), "{said}");
}

/// What a client that works for the tenant's agent must know.
fn settings<'a>(tenant: &'a Tenant, edge: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("CLIENT_ID", &tenant.agent.id),
        ("CLIENT_SECRET", &tenant.agent.secret),
        ("RESOURCE", &tenant.resource),
        ("EDGE_URL", edge),
    ]
}

#[tokio::test]
async fn oauth4webapi_discovers_gets_uses_introspects_and_revokes() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    node(&deployment, "oauth4webapi.mjs", &settings(&tenant, &edge)).await;
    deployment.stop().await;
}

#[tokio::test]
async fn openid_client_discovers_gets_uses_introspects_and_revokes() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    node(&deployment, "openid_client.mjs", &settings(&tenant, &edge)).await;
    deployment.stop().await;
}

#[tokio::test]
async fn authlib_discovers_gets_verifies_uses_introspects_and_revokes() {
    for algorithm in ALGORITHMS {
        let mut deployment = Deployment::start_with(algorithm, &[]).await;
        let tenant = deployment.tenant("pro").await;
        let edge = deployment.start_edge(&[&tenant], "").await;
        let mut vars = settings(&tenant, &edge).to_vec();
        vars.push(("ALG", algorithm.name()));
        python(&deployment, "authlib_client.py", &vars).await;
        deployment.stop().await;
    }
}

#[tokio::test]
async fn an_mcp_client_and_server_of_the_sdk_talk_through_the_edge() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let (edge_port, origin_port) = (free_port(), free_port());
    // The resource is where its clients find it.
    let resource = format!("http://127.0.0.1:{edge_port}/mcp");
    let scopes = ["mcp:read", "files:read", "files:write", "trash:write"];
    let administrator = deployment.token(&tenant.administrator).await;
    let new = json!({ "identifier": resource, "scopes": scopes });
    deployment
        .must(&administrator, "POST", "/resources", Some(new))
        .await;
    let agent = deployment.agent(&administrator, "caller", &scopes).await;
    let routes = json!([{
        "path": "/mcp", "resource": resource, "scopes": { "*": ["mcp:read"] }, "authorization": "remove",
        "mcp": {
            "methods": { "tools/call": ["files:read"], "*": [] },
            "tools": { "read_file": [], "delete_file": ["trash:write", "files:write"] },
        },
    }]);
    let settings = EdgeSettings {
        resources: format!("{}:{resource}", tenant.org_id),
        origin_url: format!("http://127.0.0.1:{origin_port}"),
        more: vec![("ROUTES", routes.to_string())],
        port: edge_port,
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let metadata = format!("{edge}/.well-known/oauth-protected-resource/mcp");
    let vars = [
        ("CLIENT_ID", agent.id.as_str()),
        ("CLIENT_SECRET", &agent.secret),
        ("RESOURCE", &resource),
        ("EDGE_URL", &edge),
        ("ORIGIN_PORT", &origin_port.to_string()),
        ("METADATA_URL", &metadata),
    ];
    node(&deployment, "mcp.mjs", &vars).await;
    let document = deployment.http.get(&metadata).send().await.unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    assert_eq!(document["resource"], resource);
    deployment.stop().await;
}

#[tokio::test]
async fn jose_verifies_our_tokens_from_our_key_set() {
    for algorithm in ALGORITHMS {
        let deployment = Deployment::start_with(algorithm, &[]).await;
        let tenant = deployment.tenant("pro").await;
        let token = deployment.token(&tenant.agent).await;
        let vars = [
            ("TOKEN", token.as_str()),
            ("RESOURCE", &tenant.resource),
            ("ALG", algorithm.name()),
        ];
        node(&deployment, "jose.mjs", &vars).await;
        deployment.stop().await;
    }
}
