//! What every edge must do, wherever it runs: asked over HTTP, of an edge at any
//! URL, and answered check by check. A check that needs what the target does not
//! offer says so and counts as skipped; none is left out silently.

mod bend;
mod checks;
mod core_api;
pub mod outage;
pub mod pace;
mod scene;
pub mod slow;
mod target;
mod wire;

pub use target::{Client, Core, Scoped, Target};

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// What the edge did instead.
    Failed(String),
    /// What the target lacks.
    Skipped(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// A check's name and its outcome.
#[derive(Debug, Clone)]
pub struct Row {
    /// A sentence.
    pub name: &'static str,
    /// Passed, or why not.
    pub outcome: Result<(), Stop>,
}

impl Row {
    /// Whether the edge failed it.
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Err(Stop::Failed(_)))
    }

    /// Whether it could not be asked.
    pub const fn skipped(&self) -> bool {
        matches!(self.outcome, Err(Stop::Skipped(_)))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.outcome {
            Ok(()) => write!(f, "pass  {}", self.name),
            Err(Stop::Failed(why)) => write!(f, "FAIL  {}: {why}", self.name),
            Err(Stop::Skipped(why)) => write!(f, "skip  {}: {why}", self.name),
        }
    }
}

/// Asks everything, one check after another; `show` sees each as it is known.
///
/// # Errors
/// The target cannot be asked at all: its edge or its core is not there, or
/// refuses the client.
pub async fn run(target: &Target, mut show: impl FnMut(&Row)) -> Result<Vec<Row>, String> {
    let scene = scene::Scene::set(target).await?;
    let mut rows = Vec::new();
    for (name, check) in checks::all(&scene) {
        let row = Row {
            name,
            outcome: check.await,
        };
        show(&row);
        rows.push(row);
    }
    Ok(rows)
}
