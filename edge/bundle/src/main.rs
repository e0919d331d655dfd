//! Builds the Worker into `target/edge-bundle`: cargo for wasm32, then wasm-bindgen as a
//! library, then the shim and workerd's configuration beside it. It needs nothing
//! but crates, so it works where `worker-build` cannot fetch its tools.
//!
//! `agentidp-edge-bundle FOLDER` bundles another Worker in the same way: the package
//! in that folder, into `target/<the folder's name>-bundle`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "edge";
/// What stands beside the WebAssembly, in the package's folder.
const BESIDE: [&str; 2] = ["worker.mjs", "workerd.capnp"];

/// A package to bundle.
struct Package {
    folder: PathBuf,
    name: String,
    /// Where it goes, in the target folder.
    out: String,
}

fn main() -> ExitCode {
    match package().and_then(|package| bundle(&package)) {
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

/// The one that the command line names, or the edge.
fn package() -> Result<Package, Box<dyn Error>> {
    let root = root()?;
    let Some(folder) = env::args_os().nth(1) else {
        return Ok(Package {
            folder: root.join("edge"),
            name: "agentidp-edge".to_owned(),
            out: "edge-bundle".to_owned(),
        });
    };
    let folder = root.join(folder).canonicalize()?;
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.ok_or("the folder has no name")?.to_owned();
    Ok(Package {
        out: format!("{name}-bundle"),
        folder,
        name,
    })
}

/// The repository's root.
fn root() -> std::io::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
}

fn bundle(package: &Package) -> Result<PathBuf, Box<dyn Error>> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => std::path::absolute(target)?,
        None => root()?.join("target"),
    };
    let out = target.join(&package.out);
    compile(package, &target)?;
    let name = package.name.replace('-', "_");

    let fresh = target.join(format!("{}.new", package.out));
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    Bindgen::new()
        .input_path(
            target
                .join(TARGET)
                .join(PROFILE)
                .join(format!("{name}.wasm")),
        )
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true)
        .reset_state_function(true)
        .generate(&fresh)?;
    name_the_snippets(&fresh, &name)?;
    for file in BESIDE {
        fs::copy(package.folder.join(file), fresh.join(file))?;
    }
    // Whole or not at all: somebody may be starting it.
    let _ = fs::remove_dir_all(&out);
    fs::rename(&fresh, &out)?;
    Ok(out)
}

/// Snippets come under names with hashes in them. They get plain ones, so that
/// `workerd.capnp` can name them: the worker crate's inline one is `snippet.js`, a
/// file keeps its own name.
fn name_the_snippets(out: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let glue = out.join(format!("{name}.js"));
    let text = fs::read_to_string(&glue)?;
    let imported: BTreeSet<&str> = text
        .split(['\'', '"'])
        .filter(|part| part.starts_with("./snippets/"))
        .collect();
    let mut named = text.clone();
    for snippet in imported {
        let file = Path::new(snippet)
            .file_name()
            .and_then(|file| file.to_str());
        let plain = match file.ok_or("a snippet without a name")? {
            "inline0.js" => "snippet.js",
            file => file,
        };
        if out.join(plain).exists() {
            return Err(format!("two files are called {plain}").into());
        }
        fs::copy(out.join(snippet), out.join(plain))?;
        // In the imports alone: the WebAssembly knows the module by its first name.
        for quote in ['\'', '"'] {
            let from = |file: &str| format!("from {quote}{file}{quote}");
            named = named.replace(&from(snippet), &from(&format!("./{plain}")));
        }
    }
    fs::write(&glue, named)?;
    fs::remove_dir_all(out.join("snippets"))?;
    // npm's names of what the package is developed with.
    let _ = fs::remove_file(out.join("package.json"));
    Ok(())
}

fn compile(package: &Package, target: &Path) -> Result<(), Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(&package.folder)
        .args(["build", "--locked", "--package", &package.name])
        .args(["--target", TARGET])
        .args(["--profile", PROFILE, "--target-dir"])
        .arg(target)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo failed; if the target is missing, run: rustup target add {TARGET}").into())
}
