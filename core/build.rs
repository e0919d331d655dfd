//! Builds the tiers' policies: a nested cargo makes wasm32 modules of their crates
//! in `policies/`, and of no others; wit-component makes components of them. Nothing
//! that is built is committed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const TARGET: &str = "wasm32-unknown-unknown";
const TIERS: [&str; 3] = ["free", "pro", "enterprise"];

fn main() {
    let root = path("CARGO_MANIFEST_DIR").join("../policies");
    let out = path("OUT_DIR");
    for watched in [".cargo", "Cargo.toml", "Cargo.lock", "sdk"]
        .iter()
        .chain(&TIERS)
    {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo:rerun-if-changed=../migrations");

    let modules = build(&root, &out.join("policies"));
    for tier in TIERS {
        let module = modules.join(format!("agentidp_policy_{tier}.wasm"));
        let component = read(&module).and_then(|module| {
            wit_component::ComponentEncoder::default()
                .validate(true)
                .module(&module)
                .and_then(|mut encoder| encoder.encode())
                .map_err(|error| format!("{error:#}"))
        });
        match component {
            Ok(bytes) => write(&out.join(format!("{tier}.component.wasm")), &bytes),
            Err(error) => stop(&format!("policies/{tier} makes no component: {error}")),
        }
    }
}

/// The nested cargo. It has a target directory of its own, since the outer one
/// is locked, and none of the outer build's flags.
fn build(root: &Path, target_dir: &Path) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(TIERS.map(|tier| format!("--package=agentidp-policy-{tier}")))
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir)
        // `.cargo/config.toml` is found from there.
        .current_dir(root)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    match cargo.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            if log.contains("can't find crate for `core`")
                || log.contains("target may not be installed")
            {
                stop(&format!(
                    "the policies are built for {TARGET}, which is not installed; run: rustup target add {TARGET}"
                ));
            }
            stop(&format!("the policies do not build:\n{log}"));
        }
        Err(error) => stop(&format!("cargo cannot be run for the policies: {error}")),
    }
    target_dir.join(TARGET).join("release")
}

fn path(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(value) => PathBuf::from(value),
        None => stop(&format!("cargo did not set {variable}")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = std::fs::write(path, bytes) {
        stop(&format!("{}: {error}", path.display()));
    }
}

#[allow(clippy::print_stderr)]
fn stop(why: &str) -> ! {
    eprintln!("error: {why}");
    exit(1)
}
