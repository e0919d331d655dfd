//! `make edge-conformance URL=https://…`: prints each check, and fails where the
//! edge does.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::process::ExitCode;

use agentidp_edge_conformance::{Row, Target, run};

#[tokio::main]
async fn main() -> ExitCode {
    let target = match Target::from_vars(|name| std::env::var(name).ok()) {
        Ok(target) => target,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match run(&target, |row| println!("{row}")).await {
        Ok(rows) => {
            let failed = rows.iter().filter(|row| row.failed()).count();
            let skipped = rows.iter().filter(|row| row.skipped()).count();
            let passed = rows.len() - failed - skipped;
            println!("{passed} passed, {failed} failed, {skipped} skipped");
            match rows.iter().any(Row::failed) {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
