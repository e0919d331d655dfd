//! The conformance suite, which anybody can run against any edge, run against
//! ours: in plain workerd and in miniflare. And it finds what it looks for.

use std::process::Stdio;
use std::time::Duration;

use agentidp_core::dev::{Child, EdgeSettings};
use agentidp_edge_conformance::{Row, Target, run};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Deployment, Tenant, root};

/// Short enough that a window is not long waited for, and long enough to spend it.
const WINDOW: [(&str, &str); 1] = [("RATE_LIMIT_WINDOW_MS", "6000")];
/// How long miniflare may take to listen.
const READY_PATIENCE: Duration = Duration::from_secs(20);

/// What the suite is told of a deployment whose edge is at `url`.
fn target(deployment: &Deployment, tenant: &Tenant, url: &str) -> Target {
    let key = deployment.folder.join("signing.pem");
    std::fs::write(&key, &deployment.private_key).unwrap();
    let vars = [
        ("URL", url),
        ("CORE_URL", &deployment.url),
        ("CLIENT_ID", &tenant.agent.id),
        ("CLIENT_SECRET", &tenant.agent.secret),
        ("RESOURCE", &tenant.resource),
        ("ECHO_PATH", "/some/path"),
        ("SIGNING_KEY_FILE", key.to_str().unwrap()),
    ];
    let var = |name: &str| {
        let found = vars.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Target::from_vars(var).unwrap()
}

async fn rows(target: &Target) -> Vec<Row> {
    run(target, |row| println!("{row}")).await.unwrap()
}

/// Nothing failed, and everything was asked but for what this edge need not offer.
fn check(rows: &[Row], may_be_skipped: &[&str]) {
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| row.failed())
        .map(Row::to_string)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let not_asked: Vec<&str> = rows
        .iter()
        .filter(|row| row.skipped())
        .map(|row| row.name)
        .collect();
    let all = not_asked.iter().all(|name| may_be_skipped.contains(name));
    assert!(all, "{not_asked:?}");
    assert!(rows.len() > 20, "{}", rows.len());
}

const SCOPES: &str = "a token without a scope that the path needs is told which, in one challenge";

#[tokio::test]
async fn an_edge_in_workerd_does_all_that_the_conformance_suite_asks() {
    let mut deployment = Deployment::start_with(agentidp_verify::Algorithm::EdDSA, &WINDOW).await;
    let tenant = deployment.tenant("free").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let rows = rows(&target(&deployment, &tenant, &edge)).await;
    check(&rows, &[SCOPES]);
    deployment.stop().await;
}

/// The edge as wrangler would run it, with the same bundle.
async fn start_miniflare(deployment: &Deployment, settings: &EdgeSettings) -> Child {
    let folder = root().join("edge/cloudflare");
    assert!(
        folder.join("node_modules/miniflare").exists(),
        "miniflare is not installed: make cloudflare"
    );
    let log = deployment.folder.join("miniflare.log");
    let mut command = Command::new("node");
    command
        .arg(folder.join("miniflare.mjs"))
        .arg(settings.port.to_string())
        .arg(deployment.folder.join("miniflare-objects"))
        .env("CORE_URL", &settings.core_url)
        .env("ISSUER_URL", &settings.issuer)
        .env("EDGE_ID", &settings.edge_id)
        .env("EDGE_SECRET", &settings.edge_secret)
        .env("RESOURCES", &settings.resources)
        .env("ORIGIN_URL", &settings.origin_url)
        .env("REQUIRED_SCOPES", &settings.required_scopes)
        .envs(settings.more.iter().map(|(name, value)| (*name, value)))
        .env("EDGE_BUNDLE", root().join("target/edge-bundle"))
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    let mut child = Child::start(command, &log, Signal::TERM).unwrap();
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(&log).unwrap().contains("ready") {
        assert!(
            begun.elapsed() < READY_PATIENCE && !child.has_ended(),
            "miniflare does not start: {}",
            std::fs::read_to_string(&log).unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        TcpStream::connect(("127.0.0.1", settings.port))
            .await
            .is_ok()
    );
    child
}

#[tokio::test]
async fn an_edge_in_miniflare_does_all_that_the_conformance_suite_asks() {
    let deployment = Deployment::start_with(agentidp_verify::Algorithm::EdDSA, &WINDOW).await;
    let tenant = deployment.tenant("free").await;
    let settings = EdgeSettings {
        required_scopes: "files:read files:write".to_owned(),
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let miniflare = start_miniflare(&deployment, &settings).await;
    let edge = format!("http://127.0.0.1:{}", settings.port);
    let mut target = target(&deployment, &tenant, &edge);
    target.scoped = Some(agentidp_edge_conformance::Scoped {
        path: "/verify".to_owned(),
        narrow: "files:read".to_owned(),
    });
    check(&rows(&target).await, &[]);
    miniflare.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn the_conformance_suite_fails_an_edge_that_takes_anything() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let origin = agentidp_core::dev::start_echo().await.unwrap();
    // No edge at all: an origin that answers everybody.
    let rows = rows(&target(&deployment, &tenant, &format!("http://{origin}"))).await;
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.failed())
        .map(|row| row.name)
        .collect();
    assert!(failed.len() + 6 > rows.len(), "{failed:#?}");
    deployment.stop().await;
}

#[tokio::test]
async fn make_edge_conformance_says_when_it_is_not_told_where() {
    let output = Command::new("make")
        .arg("edge-conformance")
        .current_dir(root())
        .env_remove("URL")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let line = "URL is required: make edge-conformance URL=https://…\n";
    assert!(said.contains(line), "{said}");
}
