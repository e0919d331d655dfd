//! The core is killed in the middle of its work, again and again: what it answered
//! is on record, and what is on record was counted.

use rustix::process::Signal;

use crate::support::Deployment;
use crate::support::load::{Answer, Load};

const KILLS: usize = 20;
const ISSUANCES: usize = 10_000;
const CALLERS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_within_ten_thousand_issuances_leave_no_token_unaccounted() {
    let mut deployment = Deployment::start().await;
    let minute = "requests_per_minute";
    deployment.set_tier("enterprise", minute, None).await;
    let tenant = deployment.tenant("enterprise").await;
    let mut answers: Vec<Answer> = Vec::new();
    for kill in 1..=KILLS {
        let load = Load::start(&deployment, &tenant.agent, CALLERS);
        load.more(ISSUANCES / KILLS).await;
        deployment.end_core(Signal::KILL).await;
        answers.extend(load.stop().await);
        let seen = deployment.accounts(&tenant, &answers).await;
        println!(
            "kill {kill}: {} tokens answered, {} on record, {} counted for the month, {} for the day",
            seen.answered, seen.events, seen.month, seen.day
        );
        deployment.start_core().await;
    }
    let seen = deployment.accounts(&tenant, &answers).await;
    assert!(seen.answered >= ISSUANCES, "{seen:?}");
    // Nothing else was issued than what was asked for.
    let in_flight = (KILLS * CALLERS) as u64;
    assert!(seen.events <= seen.answered as u64 + in_flight, "{seen:?}");
    // Nor was more counted, but what was in flight when the core was killed.
    assert!(seen.month <= seen.events + in_flight, "{seen:?}");
    // And the service that comes up serves.
    deployment.token(&tenant.agent).await;
    deployment.stop().await;
}
