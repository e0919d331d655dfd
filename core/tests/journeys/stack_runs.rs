//! The local stack without containers: what `compose.yaml` says is run against real
//! processes, in the order of the operations page.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::stack::{PASSWORD, Stack, USER};
use crate::support::{Client, free_port, read_env, text};

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The user that runs a process.
fn user_of(process: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(process).unwrap().uid()
}

/// A client of the stack: what the quick start does by hand.
struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    async fn token(&self, client: &Client) -> String {
        let request = self.http.post(format!("{}/api/v1/token", self.url));
        let request = request.basic_auth(&client.id, Some(&client.secret));
        let request = request.form(&[("grant_type", "client_credentials")]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        text(&answer.json::<Value>().await.unwrap(), "access_token")
    }

    async fn make(&self, token: &str, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}/api/v1{path}", self.url));
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }
}

#[tokio::test]
async fn the_stack_comes_up_in_its_order_by_its_own_commands_and_health_checks() {
    let mut stack = Stack::new().await;
    // A check that passes before there is anything checks nothing.
    for service in ["redis", "app", "edge"] {
        assert!(!stack.is_healthy(service).await, "{service}");
    }
    assert!(stack.is_healthy("postgres").await);
    let there = std::mem::replace(&mut stack.postgres.1, free_port());
    assert!(!stack.is_healthy("postgres").await);
    stack.postgres.1 = there;
    stack.up("redis");
    stack.becomes_healthy("redis").await;

    // Nobody has migrated yet: it lives, so that `migrate` can be run in it.
    stack.up("app");
    stack.becomes_healthy("app").await;
    let line = format!("SentryAgent.ai AgentIdP listening on port {}\n", stack.app);
    assert!(stack.said("app").contains(&line), "{}", stack.said("app"));
    let (ready, why) = stack.exec("app", &["agentidp", "health"]).await;
    assert!(!ready && why.contains("agentidp migrate"), "{why}");
    // And the edge, which nobody has registered, answers and is not healthy.
    stack.up("edge");
    let begun = Instant::now();
    while !listens(stack.edge) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            stack.said("edge")
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(!stack.is_healthy("edge").await);
    stack.down("edge").await;
    assert!(stack.said("edge").contains("EDGE_ID is required"));

    let (migrated, why) = stack.exec("app", &["agentidp", "migrate"]).await;
    assert!(migrated, "{why}");
    let (ready, why) = stack.exec("app", &["agentidp", "health"]).await;
    assert!(ready, "{why}");
    let (made, operator) = stack.exec("app", &["agentidp", "bootstrap"]).await;
    assert!(made, "{operator}");
    let operator = read_env(&operator);
    let operator = Client {
        id: operator["AGENTIDP_OPERATOR_CLIENT_ID"].clone(),
        secret: operator["AGENTIDP_OPERATOR_CLIENT_SECRET"].clone(),
    };

    let caller = Caller {
        http: reqwest::Client::new(),
        url: format!("http://127.0.0.1:{}", stack.app),
    };
    let token = caller.token(&operator).await;
    let tenant = caller
        .make(&token, "/tenants", json!({ "name": "Acme", "tier": "pro" }))
        .await;
    let administrator = caller
        .token(&Client::from_json(&tenant["administrator"]))
        .await;
    let resource = json!({ "identifier": "https://api.example", "scopes": ["files:read"] });
    caller.make(&administrator, "/resources", resource).await;
    let agent = json!({ "name": "worker", "scopes": ["files:read"] });
    let agent = caller.make(&administrator, "/agents", agent).await;
    let path = format!("/agents/{}/credentials", text(&agent, "agent_id"));
    let credential = caller.make(&administrator, &path, json!({})).await;

    let (registered, edge) = stack
        .exec("app", &["agentidp", "edge", "register", "compose"])
        .await;
    assert!(registered, "{edge}");
    stack.vars.extend(read_env(&edge));
    let pinned = format!("{}:https://api.example", text(&tenant, "org_id"));
    stack.vars.insert("RESOURCES".into(), pinned);
    stack.up("edge");
    stack.becomes_healthy("edge").await;
    let token = caller.token(&Client::from_json(&credential)).await;
    let verify = format!("http://127.0.0.1:{}/verify", stack.edge);
    let verified = caller
        .http
        .get(verify)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(verified.status(), StatusCode::OK);
    assert_eq!(verified.headers()["x-agent-id"], text(&agent, "agent_id"));

    // What is kept is where the volumes are.
    assert!(stack.folder.join("redis/appendonlydir").exists());
    assert!(
        std::fs::read_dir(stack.folder.join("edge"))
            .unwrap()
            .next()
            .is_some()
    );

    stack.down("app").await;
    let said = stack.said("app");
    assert!(said.contains("Shutting down gracefully...\n"), "{said}");
    assert!(!said.contains(PASSWORD) && !said.contains(&operator.secret));
    assert!(!stack.is_healthy("app").await);
    stack.clean().await;
}

#[tokio::test]
async fn the_app_needs_no_more_than_uid_1001_and_writes_nothing() {
    let mut stack = Stack::new().await;
    stack.up("redis");
    stack.becomes_healthy("redis").await;
    stack.up("app");
    stack.becomes_healthy("app").await;
    let (migrated, why) = stack.exec("app", &["agentidp", "migrate"]).await;
    assert!(migrated, "{why}");

    let ours = |process: &PathBuf| {
        let program = std::fs::read_link(process.join("exe"));
        program.is_ok_and(|program| program == stack.folder.join("bin/agentidp"))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes: Vec<_> = processes.map(|entry| entry.path()).filter(ours).collect();
    let [process] = &processes[..] else {
        panic!("{processes:?}");
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(user_of(process), USER);
    }
    // compose gives it a file system that cannot be written.
    for open in std::fs::read_dir(process.join("fd")).unwrap().flatten() {
        let file = std::fs::read_link(open.path()).unwrap();
        let regular = file.starts_with("/") && file.is_file();
        assert!(!regular || file == stack.log("app"), "{}", file.display());
    }
    stack.clean().await;
}
