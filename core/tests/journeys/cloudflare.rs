//! What Cloudflare would be handed: wrangler's own dry run of `wrangler.toml`.

use std::collections::BTreeSet;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::root;

/// The budget of the bundle, in KiB as wrangler prints them.
const LARGEST_KIB: f64 = 350.0;

/// What is set by `wrangler secret put`: the names that wrangler.toml requires, or
/// names where it speaks of secrets.
fn secrets(text: &str) -> BTreeSet<String> {
    let spoken = text.lines().filter(|line| {
        let speaks = line.starts_with('#') || line.starts_with("required = [");
        speaks && line.to_ascii_lowercase().contains("secret")
    });
    let words = spoken.flat_map(|line| line.split(|c: char| c != '_' && !c.is_ascii_uppercase()));
    let names = words.filter(|word| word.len() > 4 && word.contains('_'));
    names.map(str::to_owned).collect()
}

/// The names in `(name = "X", …)` of the Worker's bindings for workerd alone.
fn bindings_of_workerd() -> BTreeSet<String> {
    let config = std::fs::read_to_string(root().join("edge/workerd.capnp")).unwrap();
    let (_, after) = config.split_once("bindings = [").unwrap();
    let (bindings, _) = after.split_once("\n  ],").unwrap();
    let names = bindings.split("(name = \"").skip(1);
    names
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Runs the dry run on a copy that builds nothing; answers with what it printed.
async fn dry_run() -> String {
    let folder = root().join("edge/cloudflare");
    assert!(
        folder.join("node_modules/wrangler").exists(),
        "wrangler is not installed: make cloudflare"
    );
    let text = std::fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let build = r#"command = "cargo run --release --locked --package agentidp-edge-bundle""#;
    assert!(
        text.contains(build),
        "wrangler builds the bundle that is tested"
    );
    let copy = std::env::temp_dir().join(format!("wrangler-{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&copy).unwrap();
    let main = root().join("target/edge-bundle/worker.mjs");
    let text = text
        .replace(build, "")
        .replace("target/edge-bundle/worker.mjs", main.to_str().unwrap());
    std::fs::write(copy.join("wrangler.toml"), text).unwrap();
    let output = Command::new("node")
        .arg(folder.join("node_modules/wrangler/bin/wrangler.js"))
        .args(["deploy", "--dry-run", "--config", "wrangler.toml"])
        .current_dir(&copy)
        .env("HOME", &copy)
        .env("XDG_CONFIG_HOME", &copy)
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    // It warns of nothing but its own support for names of secrets.
    let warnings = complaint
        .lines()
        .filter(|line| line.trim().starts_with("- "));
    let experimental =
        r#"- "secrets" fields are experimental and may change or break at any time."#;
    let others: Vec<&str> = warnings
        .filter(|line| line.trim() != experimental)
        .collect();
    assert!(others.is_empty(), "{others:?}");
    std::fs::remove_dir_all(copy).unwrap();
    said
}

#[tokio::test]
async fn wrangler_would_deploy_the_bundle_within_its_budget_and_with_everything_bound() {
    let said = dry_run().await;
    let (_, gzip) = said.split_once("gzip: ").unwrap();
    let kib: f64 = gzip.split(' ').next().unwrap().parse().unwrap();
    assert!(kib > 50.0 && kib <= LARGEST_KIB, "{said}");
    assert!(said.contains("--dry-run: exiting now."), "{said}");

    // `env.NAME (…)   Resource`
    let rows = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("env."));
    let bound: BTreeSet<String> = rows
        .clone()
        .map(|row| row.split([' ', '(']).next().unwrap().to_owned())
        .collect();
    let text = std::fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let secrets = secrets(&text);
    assert!(secrets.contains("EDGE_SECRET"), "{secrets:?}");
    let shown: Vec<_> = secrets.intersection(&bound).collect();
    assert!(shown.is_empty(), "in wrangler.toml with a value: {shown:?}");
    let with_secrets: BTreeSet<String> = bound.union(&secrets).cloned().collect();
    let of_workerd = bindings_of_workerd();
    let missing: Vec<_> = of_workerd.difference(&with_secrets).collect();
    assert!(missing.is_empty(), "not in wrangler.toml: {missing:?}");
    let more: Vec<_> = bound.difference(&of_workerd).collect();
    assert!(more.is_empty(), "not in workerd.capnp: {more:?}");

    // Each class of objects is made by a migration, on SQLite.
    let made = text.split("new_sqlite_classes = [").skip(1);
    let made: String = made.map(|rest| rest.split(']').next().unwrap()).collect();
    let objects: Vec<&str> = rows.filter(|row| row.ends_with("Durable Object")).collect();
    assert!(
        objects
            .iter()
            .any(|row| row.starts_with("CLIENT_LIMITS (ClientLimit)")),
        "{said}"
    );
    for row in objects {
        let class = row.split(['(', ')']).nth(1).unwrap();
        assert!(made.contains(&format!("\"{class}\"")), "{class}: {made}");
    }
    assert!(
        text.contains("[secrets]\nrequired = [\"EDGE_SECRET\"]"),
        "{text}"
    );
}
