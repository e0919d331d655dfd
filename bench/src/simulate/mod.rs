//! `agentidp-bench --simulate`: a day of ten million agents at three hundred
//! places, without a network: what the core has to answer, what leases waste, how
//! fast a revocation is everywhere and what the objects cost. Calls go through the
//! edge's own arithmetic. A run that admits one call over a limit reports nothing.

mod assumptions;
mod chance;
mod client;
mod plot;
mod price;
mod reach;
mod report;
mod tally;
mod traffic;

use std::path::Path;
use std::time::Instant;

use crate::{Outcome, say};
use assumptions::{REVOCATIONS, SEED};
use chance::Chance;
use client::Client;
use reach::Reach;
use tally::Tally;

/// What a run came to.
struct Simulated {
    tally: Tally,
    reach: Reach,
    /// Agents and calls that were simulated one by one.
    agents: u64,
    calls: u64,
}

/// Simulates the day and writes `SIMULATION.md` and `simulation.svg` in `folder`.
/// `part` of the agents and revocations that the assumptions say: 1 but for tests.
pub(crate) fn run(folder: &Path, part: f64) -> Outcome<()> {
    let begun = Instant::now();
    let simulated = simulate(part)?;
    report::write(&simulated, folder)?;
    plot::draw(&simulated, &folder.join("simulation.svg"))?;
    say(format!(
        "{} calls of {} agents were simulated in {:.0} s; the figures are in {}.",
        simulated.calls,
        simulated.agents,
        begun.elapsed().as_secs_f64(),
        folder.join("SIMULATION.md").display()
    ));
    Ok(())
}

fn simulate(part: f64) -> Outcome<Simulated> {
    let mut tally = Tally::default();
    let (mut agents, mut calls) = (0, 0);
    for (number, mut class) in (0_u64..).zip(traffic::classes()) {
        class.samples = ((class.samples as f64 * part) as u64).max(1);
        for sample in 0..class.samples {
            let seed = SEED ^ (number << 40) ^ (sample << 1);
            let mut chance = Chance::new(seed);
            let mut client = Client::new(class.limit, class.weight(), seed | 1, &mut tally);
            for call in traffic::Day::of(&class, &mut chance) {
                client.call(call);
                calls += 1;
            }
            client.end();
        }
        agents += class.samples;
    }
    let revocations = ((REVOCATIONS as f64 * part) as usize).max(10);
    let reach = reach::simulate(revocations, &mut Chance::new(SEED));
    let simulated = Simulated {
        tally,
        reach,
        agents,
        calls,
    };
    simulated.check()?;
    Ok(simulated)
}

impl Simulated {
    /// What must hold, or nothing is reported.
    fn check(&self) -> Outcome<()> {
        let tally = &self.tally;
        if tally.over > 0 {
            return Err(format!("{} calls were admitted over a limit", tally.over).into());
        }
        let answered = tally.admitted + tally.refused + tally.unknown;
        if (answered / tally.calls - 1.0).abs() > 1e-9 {
            return Err(format!("{} calls, and {answered} answers", tally.calls).into());
        }
        let away = tally.admitted + tally.returned + tally.lost;
        if away > tally.debited * (1.0 + 1e-9) {
            return Err(format!("{away} calls of {} that were leased", tally.debited).into());
        }
        let last = self.reach.of_all.last().copied().unwrap_or(f64::NAN);
        if !(0.0..=2_000.0).contains(&last) {
            return Err(format!("a revocation took {last} ms").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_day_admits_nothing_over_a_limit_and_is_the_same_each_time() {
        let folder = std::env::temp_dir().join(format!("simulation-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let texts = [0, 1].map(|_| {
            run(&folder, 0.002).unwrap();
            std::fs::read_to_string(folder.join("SIMULATION.md")).unwrap()
        });
        assert_eq!(texts[0], texts[1]);
        assert!(texts[0].contains("| admitted over a limit | 0 |"));
        let plot = std::fs::read_to_string(folder.join("simulation.svg")).unwrap();
        assert!(plot.contains("<svg"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_run_with_one_call_too_many_is_not_reported() {
        let mut simulated = simulate(0.001).unwrap();
        simulated.tally.over = 1;
        let why = simulated.check().unwrap_err().to_string();
        assert_eq!(why, "1 calls were admitted over a limit");
    }
}
