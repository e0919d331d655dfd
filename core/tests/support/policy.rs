//! Policies: components made as a tenant's tools make them, and put into force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_core::clock::Now;
use sha2::{Digest as _, Sha256};
use sqlx::types::Json;
use tokio::process::Command;
use uuid::Uuid;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::{Deployment, Tenant, root};

/// After what time every replica asks what was put into force.
const TAKEN_UP: Duration = Duration::from_millis(600);

/// Makes a component of a core module in text.
pub fn component(wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_file(root().join("policies/sdk/wit/policy.wit"))
        .unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    component_of(&module)
}

/// Makes a component of a core module that says itself what it exports.
pub fn component_of(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .unwrap()
        .encode()
        .unwrap()
}

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
    component: &[u8],
    settings: &[(&str, &str)],
    claims: &[&str],
) {
    let org_id: Uuid = tenant.org_id.parse().unwrap();
    let now = Now::read().timestamp();
    let module = hex(component);
    let version = hex(format!("{module} {settings:?} {claims:?}").as_bytes());
    let settings: BTreeMap<&str, &str> = settings.iter().copied().collect();
    let mut transaction = deployment.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO policy_modules (digest, component, built_in, created_at)
         VALUES ($1, $2, false, $3) ON CONFLICT DO NOTHING",
    )
    .bind(&module)
    .bind(component)
    .bind(now)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "UPDATE policy_versions SET state = 'retired' WHERE org_id = $1 AND state = 'active'",
    )
    .bind(org_id)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO policy_versions (org_id, digest, module_digest, settings, claims, state,
                                      uploaded_at, changed_at, activated_at)
         VALUES ($1, $2, $3, $4, $5, 'active', $6, $6, $6)
         ON CONFLICT (org_id, digest) DO UPDATE SET state = 'active'",
    )
    .bind(org_id)
    .bind(&version)
    .bind(&module)
    .bind(Json(settings))
    .bind(claims)
    .bind(now)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(
        "WITH head AS (UPDATE change_head SET seq = seq + 1 RETURNING seq)
         INSERT INTO client_changes (seq, org_id, agent_id, changed_at)
         SELECT seq, $1, NULL, $2 FROM head",
    )
    .bind(org_id)
    .bind(now)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    tokio::time::sleep(TAKEN_UP).await;
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
