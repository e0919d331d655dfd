//! Builds the Worker into `target/edge-bundle`: cargo for wasm32, then wasm-bindgen as a
//! library, then the shim and workerd's configuration beside it. It needs nothing
//! but crates, so it works where `worker-build` cannot fetch its tools.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "edge";
/// The crate's name, and that of what is made of it.
const NAME: &str = "agentidp_edge";

fn main() -> ExitCode {
    match bundle() {
        Ok(out) => {
            println!("The Worker is in {}.", out.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("The Worker was not built: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<PathBuf, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = target.join("edge-bundle");
    compile(&root, &target)?;

    let fresh = target.join("edge-bundle.new");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    Bindgen::new()
        .input_path(
            target
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{NAME}.wasm")),
        )
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true)
        .reset_state_function(true)
        .generate(&fresh)?;
    name_the_snippet(&fresh)?;
    for file in ["worker.mjs", "workerd.capnp"] {
        fs::copy(root.join("edge").join(file), fresh.join(file))?;
    }
    // Whole or not at all: somebody may be starting it.
    let _ = fs::remove_dir_all(&out);
    fs::rename(&fresh, &out)?;
    Ok(out)
}

/// The worker crate brings one snippet, under a name with a hash in it. It gets a
/// plain one, so that `workerd.capnp` can name it.
fn name_the_snippet(out: &Path) -> Result<(), Box<dyn Error>> {
    let glue = out.join(format!("{NAME}.js"));
    let text = fs::read_to_string(&glue)?;
    let imported: Vec<&str> = text
        .split('\'')
        .filter(|part| part.starts_with("./snippets/"))
        .collect();
    let [snippet] = imported[..] else {
        return Err(format!(
            "one snippet was expected, and {} were found",
            imported.len()
        )
        .into());
    };
    fs::copy(out.join(snippet), out.join("snippet.js"))?;
    fs::write(&glue, text.replace(snippet, "./snippet.js"))?;
    fs::remove_dir_all(out.join("snippets"))?;
    Ok(())
}

fn compile(root: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--package",
            "agentidp-edge",
            "--target",
            TARGET,
        ])
        .args(["--profile", PROFILE, "--target-dir"])
        .arg(target)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo failed; if the target is missing, run: rustup target add {TARGET}").into())
}
