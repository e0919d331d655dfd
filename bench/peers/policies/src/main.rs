//! `policy-peers`: asks Cedar or Rego what the benchmark asks the service's modules,
//! in the same loop. The question comes as JSON on the standard input, what was
//! measured goes to the standard output. One wrong answer ends it.

mod cedar;
mod rego;
#[path = "../../../src/timing.rs"]
mod timing;

use std::time::Duration;

use serde::Deserialize;

use timing::{Case, time};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Deserialize)]
struct Task {
    peer: Peer,
    policy: Policy,
    measured_ms: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Peer {
    Cedar,
    Rego,
}

/// The same in both languages, and as a module.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    /// What was asked for.
    AllowAll,
    /// `policies/examples/scopes-by-label` with the benchmark's settings.
    ScopesByLabel,
}

fn main() -> Outcome<()> {
    let task: Task = serde_json::from_reader(std::io::stdin())?;
    let measured = Duration::from_millis(task.measured_ms);
    let timed = match task.peer {
        Peer::Cedar => {
            let cedar = cedar::Cedar::new(task.policy)?;
            time(measured, &task.cases, |case| cedar.decide(case))
        }
        Peer::Rego => {
            let mut rego = rego::Rego::new(task.policy)?;
            time(measured, &task.cases, |case| rego.decide(case))
        }
    }?;
    serde_json::to_writer(std::io::stdout(), &timed)?;
    Ok(())
}
