//! `make bench`: the service beside its peers, in one run, from the repository's
//! root. A run in which any answer was not what it should be is not reported:
//! it says what was wrong and ends with a failure.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

mod bundle;
mod ceiling;
mod chaos;
mod check;
mod cpu;
mod crowd;
mod decisions;
mod edge;
mod facts;
mod hostile;
mod http;
mod load;
mod memory;
mod mint;
mod modules;
mod peers;
mod plan;
mod plot;
mod policies;
mod ports;
mod report;
mod report_policies;
mod report_revocation;
mod revocation;
mod service;
mod simulate;
mod start;
mod stores;
mod tenant;
mod timing;
mod tokens;
mod verify;
mod workers;

use std::collections::HashSet;
use std::process::ExitCode;

use plan::Plan;
use report::Results;
use service::Service;
use stores::{Folder, Stores};
use verify::Alg;

const USAGE: &str = "usage: agentidp-bench [--quick | --edge | --policies [--quick] | --revocation | --chaos | --simulate]";

/// What can go wrong here ends the run.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [] => run(Plan::FULL),
        ["--quick"] => run(Plan::QUICK),
        ["--edge"] => run_edge(Plan::FULL),
        ["--policies"] => run_policies(Plan::FULL),
        ["--policies", "--quick"] => run_policies(Plan::QUICK),
        ["--revocation"] => run_revocation(Plan::FULL),
        ["--chaos"] => on_this_thread(Plan::FULL, chaos::run()),
        ["--simulate"] => simulate::run(std::path::Path::new("bench"), 1.0),
        ["ceiling", settings] => run_ceiling(settings),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Refused, nothing is reported: {why}");
            ExitCode::FAILURE
        }
    }
}

/// On this thread alone: processes end with the thread that started them, and
/// the load generator needs no more.
fn run(plan: Plan) -> Outcome<()> {
    on_this_thread(plan, bench(plan))
}

fn on_this_thread(plan: Plan, work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = work => outcome,
            () = tokio::time::sleep(plan.patience) => Err("the run took longer than it may".into()),
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    })
}

/// The edge alone, for whoever works on it; it writes nothing.
fn run_edge(plan: Plan) -> Outcome<()> {
    on_this_thread(plan, async {
        let folder = Folder::temporary()?;
        let stores = Stores::start().await?;
        let mut service = Service::start(&stores, &folder, Alg::EdDSA).await?;
        edge::measure(&plan, &service, &folder, &mut HashSet::new()).await?;
        service.stop().await;
        stores.stop().await;
        Ok(())
    })
}

/// Revocation alone; it prints what it would write, and writes nothing.
fn run_revocation(plan: Plan) -> Outcome<()> {
    on_this_thread(plan, async {
        let folder = Folder::temporary()?;
        let stores = Stores::start().await?;
        let mut service = Service::start(&stores, &folder, Alg::EdDSA).await?;
        let rows = revocation::measure(&plan, &service, &folder, &mut HashSet::new()).await?;
        service.stop().await;
        stores.stop().await;
        let mut text = String::new();
        report_revocation::write(&rows, &mut text)?;
        say(text);
        Ok(())
    })
}

/// Policies alone; it prints what it would write, and writes nothing.
fn run_policies(plan: Plan) -> Outcome<()> {
    on_this_thread(plan, async {
        let folder = Folder::temporary()?;
        let stores = Stores::start().await?;
        let policies = policies::measure(&plan, &stores, &folder).await?;
        stores.stop().await;
        let mut text = String::new();
        report_policies::write(&policies, &mut text)?;
        say(text);
        Ok(())
    })
}

/// As the service runs: a thread a core.
fn run_ceiling(settings: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ceiling::serve(settings))
}

async fn bench(plan: Plan) -> Outcome<()> {
    let folder = Folder::temporary()?;
    let stores = Stores::start().await?;
    let facts = facts::read(&stores).await?;
    let mut tokens = Vec::new();
    let (mut edge, mut revocation) = (Vec::new(), Vec::new());
    for alg in [Alg::EdDSA, Alg::ES256] {
        say(format!("POST /token, {}:", alg.name()));
        let mut service = Service::start(&stores, &folder, alg).await?;
        let (rows, mut jtis) = tokens::measure(&plan, &stores, &service, &folder, alg).await?;
        tokens.extend(rows);
        if alg == Alg::EdDSA {
            say("The edge:");
            edge = edge::measure(&plan, &service, &folder, &mut jtis).await?;
            say("Revocation:");
            revocation = revocation::measure(&plan, &service, &folder, &mut jtis).await?;
        }
        service.check_record(&stores, &jtis).await?;
        service.stop().await;
    }
    let policies = policies::measure(&plan, &stores, &folder).await?;
    say("Start and memory:");
    let mut service = Service::start(&stores, &folder, Alg::EdDSA).await?;
    service.stop().await;
    let start = start::measure(&plan, &service, Alg::EdDSA).await?;
    let memory = memory::measure(&plan, &mut service, Alg::EdDSA).await?;
    say(format!("  {start:.0?} {memory:?}"));
    stores.stop().await;

    let results = Results {
        facts,
        tokens,
        edge,
        revocation,
        policies,
        memory,
        start,
        bundle: bundle::gzipped().await?,
    };
    let place = plan.place()?;
    report::write(&results, &place)?;
    say(format!(
        "Every answer was checked. The figures are in {}.",
        place.join("RESULTS.md").display()
    ));
    Ok(())
}

/// A line about what is going on.
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}
