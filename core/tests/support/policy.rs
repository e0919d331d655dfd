//! Policies: components made as a tenant's tools make them, and put into force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::process::Command;

use super::modules::component_of;
use super::{Deployment, Tenant, root};

/// Builds `policies/examples/{name}` and makes a component of it.
pub async fn example(name: &str) -> Vec<u8> {
    let folder = root().join("policies");
    let arguments = ["build", "--release", "--locked", "--target"];
    let mut cargo = cargo("cargo");
    cargo
        .args(arguments)
        .args(["wasm32-unknown-unknown", "--package", name])
        .current_dir(folder);
    succeed(&mut cargo).await;
    component_of(&std::fs::read(module_path(name)).unwrap())
}

/// Where the module of a package is once it is built.
pub fn module_path(package: &str) -> PathBuf {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let folder = target().join("wasm32-unknown-unknown/release");
    folder.join(file)
}

/// A program that runs cargo on policies, on the host or for wasm32: with a target
/// directory that they share, and none of the flags of the build around it.
pub fn cargo(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command
        .env("CARGO_TARGET_DIR", target())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    command
}

/// Runs to the end, which must be a good one; answers with what was printed.
pub async fn succeed(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{complaints}");
    printed
}

fn target() -> PathBuf {
    root().join("target/policies")
}

/// Puts a version into force for the tenant, in the place of any before, with
/// `settings` and with the right to give `claims`.
pub async fn put_version(
    deployment: &Deployment,
    tenant: &Tenant,
    module: &[u8],
    settings: &[(&str, &str)],
    claims: &[&str],
) {
    let settings: BTreeMap<&str, &str> = settings.iter().copied().collect();
    let beside = [("settings", json!(settings)), ("claims", json!(claims))];
    deployment
        .put_policy(tenant, module, &beside, "activate")
        .await;
}
