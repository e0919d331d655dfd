//! The Workers beside the edge, each in a workerd of its own, of the very version
//! that the edge runs in: two that do nothing, two that verify with npm's packages.

use std::path::{Path, PathBuf};

use agentidp_core::dev::Child;
use rustix::process::Signal;
use tokio::process::Command;

use crate::stores::Folder;
use crate::{Outcome, bundle, cpu, ports};

/// The compatibility date of the edge's own configuration.
const COMPATIBILITY_DATE: &str = "2026-04-01";
/// What a Worker is told, by these names.
const VARIABLES: [&str; 4] = ["JWK", "ALG", "ISSUER", "AUDIENCE"];

/// A running one.
pub(crate) struct Worker {
    pub(crate) pid: u32,
    pub(crate) port: u16,
    child: Child,
}

/// npm's workerd, as the edge has it.
pub(crate) fn workerd() -> Outcome<PathBuf> {
    let scope = std::fs::read_dir("edge/node_modules/@cloudflare")?.flatten();
    let found = scope
        .map(|entry| entry.path().join("bin/workerd"))
        .find(|path| path.exists());
    found.ok_or_else(|| "workerd is not installed: run `npm ci --prefix edge`".into())
}

impl Worker {
    /// The one in Rust that does nothing, bundled as the edge is.
    pub(crate) async fn empty_rust(folder: &Folder) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("agentidp-edge-bundle");
        let bundled = Command::new(program)
            .arg("bench/empty-worker")
            .env("CARGO_TARGET_DIR", bundle::target()?)
            .kill_on_drop(true)
            .output();
        let bundled = bundled.await?;
        if !bundled.status.success() {
            return Err(String::from_utf8_lossy(&bundled.stderr).into());
        }
        let config = bundle::target()?.join("empty-worker-bundle/workerd.capnp");
        Self::start("empty-rust", &config, &[], folder).await
    }

    /// `bench/peers/workers/<name>.mjs`, with the package in that folder as
    /// `./<name>/…`.
    pub(crate) async fn script(
        name: &str,
        package: Option<&str>,
        variables: &[(&str, &str)],
        folder: &Folder,
    ) -> Outcome<Self> {
        let place = folder.path().join(name);
        let mut modules = vec![format!("{name}.mjs")];
        std::fs::create_dir(&place)?;
        let main = format!("bench/peers/workers/{name}.mjs");
        std::fs::copy(main, place.join(format!("{name}.mjs")))?;
        if let Some(package) = package {
            let package = Path::new("bench/peers/node_modules").join(package);
            copy_scripts(&package, Path::new(name), &place, &mut modules)?;
        }
        let config = place.join("workerd.capnp");
        std::fs::write(&config, configuration(&modules))?;
        Self::start(name, &config, variables, folder).await
    }

    async fn start(
        name: &str,
        config: &Path,
        variables: &[(&str, &str)],
        folder: &Folder,
    ) -> Outcome<Self> {
        let port = ports::free()?;
        let log = folder.path().join(format!("{name}.log"));
        let mut command = Command::new(workerd()?);
        command
            .arg("serve")
            .arg(config)
            .arg(format!("--socket-addr=http=127.0.0.1:{port}"))
            .envs(variables.iter().copied());
        let start = async { Ok(Child::start(command, &log, Signal::TERM)?) };
        let (mut child, pid) = cpu::started(start).await?;
        ports::wait(port, &mut child, &log).await?;
        Ok(Self { pid, port, child })
    }

    pub(crate) async fn stop(self) {
        self.child.stop().await;
    }
}

/// Copies the scripts below `from` to `at` in `place`, and adds their names.
fn copy_scripts(from: &Path, at: &Path, place: &Path, modules: &mut Vec<String>) -> Outcome<()> {
    std::fs::create_dir(place.join(at))?;
    for entry in std::fs::read_dir(from)? {
        let (from, at) = {
            let entry = entry?;
            (entry.path(), at.join(entry.file_name()))
        };
        if from.is_dir() {
            copy_scripts(&from, &at, place, modules)?;
        } else if from.extension().is_some_and(|extension| extension == "js") {
            std::fs::copy(&from, place.join(&at))?;
            modules.push(at.to_str().ok_or("a name that is no text")?.to_owned());
        }
    }
    Ok(())
}

/// A configuration for workerd; the first module is the Worker's.
fn configuration(modules: &[String]) -> String {
    let modules = modules.iter();
    let modules: String = modules
        .map(|name| format!("    (name = \"{name}\", esModule = embed \"{name}\"),\n"))
        .collect();
    let bindings: String = VARIABLES
        .iter()
        .map(|name| format!("    (name = \"{name}\", fromEnvironment = \"{name}\"),\n"))
        .collect();
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n  \
           services = [(name = \"main\", worker = .main)],\n  \
           sockets = [(name = \"http\", address = \"127.0.0.1:8787\", http = (), service = \"main\")],\n\
         );\n\
         const main :Workerd.Worker = (\n  \
           modules = [\n{modules}  ],\n  \
           bindings = [\n{bindings}  ],\n  \
           compatibilityDate = \"{COMPATIBILITY_DATE}\",\n\
         );\n"
    )
}
