//! `agentidp policy check|try|push`: what a tenant does with a module before and
//! when it uploads it. The first two need no service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Subcommand;
use serde_json::{Value, json};

use super::answer::Ceiling;
use super::artifacts::Artifact;
use super::builtin::digest_of;
use super::compile::{Uncompiled, compile, this_program};
use super::decide::{Version, ask_alone};
use super::engine::Engine;
use super::inspect::{LARGEST, inspect};
use super::made_up::MadeUp;
use super::{push, shown};
use crate::tenants::Tier;

/// What is done with a module.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say whether a service would take the module, and why not.
    Check {
        /// A component, or a module for wasm32-unknown-unknown.
        file: PathBuf,
    },
    /// Ask the module about one made-up request, here.
    Try {
        /// A component, or a module for wasm32-unknown-unknown.
        file: PathBuf,
        /// The request, a JSON object: scopes, agent_type, deployment_env, capabilities, now, …
        #[arg(long, default_value = r#"{"scopes":["files:read","files:write"]}"#)]
        request: String,
        /// What stands beside it.
        #[command(flatten)]
        beside: Beside,
    },
    /// Upload the module to AGENTIDP_URL as AGENTIDP_ADMIN_CLIENT_ID, and move it on.
    Push {
        /// A component, or a module for wasm32-unknown-unknown.
        file: PathBuf,
        /// What stands beside it.
        #[command(flatten)]
        beside: Beside,
        /// Let it decide beside the active version.
        #[arg(long, conflicts_with = "activate")]
        shadow: bool,
        /// Let it count.
        #[arg(long)]
        activate: bool,
    },
}

/// What stands beside a module.
#[derive(Debug, clap::Args)]
pub struct Beside {
    /// A setting, `key=value`; may stand more than once.
    #[arg(long = "setting", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// A claim that it may put under `ext`; may stand more than once.
    #[arg(long = "claim")]
    claims: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not key=value"))
}

/// What goes wrong, in a sentence.
type Outcome = Result<Value, Box<dyn std::error::Error>>;

impl PolicyCommand {
    /// Does it; answers with what is to be printed.
    ///
    /// # Errors
    /// What is wrong with the module or with the service.
    pub async fn run(self) -> Outcome {
        match self {
            Self::Check { file } => check(&file).await,
            Self::Try {
                file,
                request,
                beside,
            } => try_here(&file, &request, beside).await,
            Self::Push {
                file,
                beside,
                shadow,
                activate,
            } => {
                let to = match (shadow, activate) {
                    (true, _) => Some("shadow"),
                    (_, true) => Some("activate"),
                    _ => None,
                };
                let settings: BTreeMap<_, _> = beside.settings.into_iter().collect();
                push::push(std::fs::read(file)?, &settings, &beside.claims, to).await
            }
        }
    }
}

/// The module and its machine code.
async fn compiled(file: &Path) -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let module = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    inspect(&module, LARGEST)?;
    let code = compile(&this_program(), &module, None).await;
    let code = code.map_err(|error| match error {
        Uncompiled::Refused(refused) => refused.to_string(),
        Uncompiled::Failed(why) => why,
    })?;
    Ok((module, code))
}

async fn check(file: &Path) -> Outcome {
    let (module, code) = compiled(file).await?;
    Ok(json!({
        "module": digest_of(&module),
        "bytes": module.len(),
        "machine_code_bytes": code.len(),
    }))
}

async fn try_here(file: &Path, request: &str, beside: Beside) -> Outcome {
    let made_up: MadeUp = serde_json::from_str(request)?;
    let (module, code) = compiled(file).await?;
    let engine = Engine::start()?;
    let loaded = engine.load(&Artifact::just_compiled(code))?;
    let tier = Tier::example();
    let question = made_up.question(String::new(), &tier)?;
    let version = Version {
        digest: digest_of(&module),
        module_digest: digest_of(&module),
        settings: beside.settings,
        claims: beside.claims,
    };
    let ceiling = Ceiling {
        claims: &version.claims,
        ..Ceiling::of_tier(&tier, &question.scopes)
    };
    let begun = Instant::now();
    let verdict = ask_alone(&engine, &loaded, &question, &ceiling, &version)?;
    let took = begun.elapsed();
    let mut shown = shown::verdict(&verdict);
    shown["microseconds"] = (took.as_micros() as u64).into();
    Ok(shown)
}
