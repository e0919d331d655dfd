//! How much is measured: a whole run, or a quick one that shows that the bench
//! works and whose figures mean nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Outcome, bundle};

/// The counts and times of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    /// How often each contender takes its turn.
    pub(crate) rounds: usize,
    /// What each contender is asked for before its first round: compilers that
    /// work while a program runs take their time.
    pub(crate) settle: Duration,
    /// Before what is measured.
    pub(crate) warm_up: Duration,
    /// Of each round.
    pub(crate) measured: Duration,
    /// Tokens of a round that the edge has not seen.
    pub(crate) unseen: usize,
    /// Agents in the database.
    pub(crate) registered: usize,
    /// Of them, how many ask for a token.
    pub(crate) asking: usize,
    /// How often the service is started.
    pub(crate) starts: usize,
    /// Tenants with a module of their own.
    pub(crate) crowd: usize,
    /// Tokens that are revoked, for each number of isolates.
    pub(crate) revocations: usize,
    /// What all of it may take.
    pub(crate) patience: Duration,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        quick: false,
        rounds: 3,
        settle: Duration::from_millis(2_500),
        warm_up: Duration::from_millis(300),
        measured: Duration::from_millis(1_500),
        unseen: 8_000,
        registered: 1_000_000,
        asking: 60_000,
        starts: 7,
        crowd: 1_000,
        revocations: 12,
        patience: Duration::from_secs(1_600),
    };

    pub(crate) const QUICK: Self = Self {
        quick: true,
        rounds: 1,
        settle: Duration::from_millis(300),
        warm_up: Duration::from_millis(100),
        measured: Duration::from_millis(200),
        unseen: 300,
        registered: 2_000,
        asking: 500,
        starts: 1,
        crowd: 20,
        revocations: 1,
        patience: Duration::from_secs(300),
    };

    /// Where the report goes. What a quick run says is nobody's result.
    pub(crate) fn place(&self) -> Outcome<PathBuf> {
        if !self.quick {
            return Ok(PathBuf::from("bench"));
        }
        let place = bundle::target()?.join("bench-quick");
        std::fs::create_dir_all(&place)?;
        Ok(place)
    }
}
