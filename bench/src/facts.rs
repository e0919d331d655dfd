//! On what the run ran. Nothing here names a machine, a user or a path.

use std::process::Stdio;

use agentidp_core::clock::Now;
use serde_json::Value;
use tokio::process::Command;

use crate::Outcome;
use crate::stores::Stores;

/// What a reader must know to judge the figures.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// UTC.
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    /// Of the last minute before the run.
    pub(crate) load_average: String,
    pub(crate) versions: String,
}

/// Reads them, before anything is measured.
pub(crate) async fn read(stores: &Stores) -> Outcome<Facts> {
    let cores = std::thread::available_parallelism()?;
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The numbers alone: a build of somebody's own may be named after a machine.
    let kernel = kernel
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next();
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let node = said("node", &["--version"]).await?;
    let rustc = said("rustc", &["--version"]).await?;
    let rustc = rustc.split_whitespace().nth(1).unwrap_or_default();
    let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"])
        .await?
        .is_empty();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).await?;
    let versions = [
        stores.versions().await?,
        format!("Node {}", node.trim_start_matches('v')),
        format!("rustc {rustc}, profile release"),
        package("bench/peers", "oidc-provider")?,
        package("bench/peers", "jose")?,
        package("bench/peers", "@tsndr/cloudflare-worker-jwt")?,
        package("edge", "workerd")?,
        crate_version("cedar-policy")?,
        crate_version("regorus")?,
    ];
    Ok(Facts {
        date: Now::read().timestamp().date().to_string(),
        commit: format!("{commit}{}", if changed { " with changes" } else { "" }),
        machine: format!(
            "{cores} cores ({arch}), {os} {}",
            kernel.unwrap_or_default()
        ),
        load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        versions: versions.join(", "),
    })
}

/// What a program prints, trimmed; nothing where it cannot be had.
async fn said(program: &str, arguments: &[&str]) -> Outcome<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await;
    let printed = output.map(|output| output.stdout).unwrap_or_default();
    Ok(String::from_utf8(printed)?.trim().to_owned())
}

/// An npm package with its version, as it is installed in that folder.
fn package(folder: &str, name: &str) -> Outcome<String> {
    let path = format!("{folder}/node_modules/{name}/package.json");
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
    let package: Value = serde_json::from_str(&text)?;
    let version = package["version"]
        .as_str()
        .ok_or("a package without a version")?;
    Ok(format!("npm `{name}` {version}"))
}

/// A crate with its version, as `policy-peers` is locked to it.
fn crate_version(name: &str) -> Outcome<String> {
    let lock = std::fs::read_to_string("bench/peers/policies/Cargo.lock")?;
    let (_, after) = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .ok_or_else(|| format!("{name} is not locked"))?;
    let version = after.split('"').next().unwrap_or_default();
    Ok(format!("{name} {version}"))
}
