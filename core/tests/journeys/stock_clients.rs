//! Clients that nobody here wrote: npm's `oauth4webapi` and `jose`.

use crate::support::{Deployment, root};

async fn node(deployment: &Deployment, script: &str, vars: &[(&str, &str)]) {
    let folder = root().join("core/tests/clients");
    assert!(
        folder.join("node_modules").exists(),
        "the clients are not installed: npm ci --prefix core/tests/clients"
    );
    let output = tokio::process::Command::new("node")
        .current_dir(folder)
        .arg(script)
        .env("ISSUER", deployment.issuer())
        .envs(vars.iter().copied())
        .output()
        .await
        .expect("Node 20: install it, and `make test` again");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.trim_end().ends_with("done"), "{said}");
}

#[tokio::test]
async fn oauth4webapi_discovers_gets_uses_introspects_and_revokes() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let vars = [
        ("CLIENT_ID", tenant.agent.id.as_str()),
        ("CLIENT_SECRET", &tenant.agent.secret),
        ("RESOURCE", &tenant.resource),
        ("EDGE_URL", &edge),
    ];
    node(&deployment, "oauth4webapi.mjs", &vars).await;
    deployment.stop().await;
}

#[tokio::test]
async fn jose_verifies_our_tokens_from_our_key_set() {
    for algorithm in [
        agentidp_verify::Algorithm::EdDSA,
        agentidp_verify::Algorithm::ES256,
        agentidp_verify::Algorithm::RS256,
    ] {
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
