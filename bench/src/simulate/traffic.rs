//! Who calls when: agents in classes by their rank, and the day of one of them as
//! bursts of calls.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::assumptions::{
    AGENTS, AT_PLACES, BURSTS, CALLS, CALLS_A_CLASS, DAY_MS, EXPONENT, ISOLATES, OFFSET, REGIONS,
    SWING, TIERS,
};
use super::chance::Chance;

/// Agents of about the same rank.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// How many there are.
    pub(super) agents: u64,
    /// Calls that each wants to make on the day.
    pub(super) calls: f64,
    /// Requests a minute.
    pub(super) limit: u64,
    /// How many are simulated.
    pub(super) samples: u64,
}

impl Class {
    /// How many agents one simulated one stands for.
    pub(super) fn weight(&self) -> f64 {
        self.agents as f64 / self.samples as f64
    }
}

/// All of them, three classes for each doubling of the rank.
pub(super) fn classes() -> Vec<Class> {
    let mut bounds: Vec<u64> = (0_u32..)
        .map(|step| 2_f64.powf(f64::from(step) / 3.0).round() as u64)
        .take_while(|bound| *bound < AGENTS)
        .collect();
    bounds.extend(TIERS.map(|(until, _)| until));
    bounds.insert(0, 0);
    bounds.sort_unstable();
    bounds.dedup();
    // The integral of 1 / (rank + OFFSET) ^ EXPONENT.
    let up_to = |rank: u64| {
        let (at, left) = (rank as f64 + OFFSET, 1.0 - EXPONENT);
        match left.abs() < 1e-9 {
            true => at.ln(),
            false => at.powf(left) / left,
        }
    };
    let all = up_to(AGENTS) - up_to(0);
    bounds
        .windows(2)
        .map(|pair| {
            let agents = pair[1] - pair[0];
            let calls = CALLS * (up_to(pair[1]) - up_to(pair[0])) / all / agents as f64;
            let tier = TIERS.iter().find(|(until, _)| pair[1] <= *until);
            Class {
                agents,
                calls,
                limit: tier.map_or(0, |(_, limit)| *limit),
                samples: ((CALLS_A_CLASS / calls) as u64)
                    .clamp(2, 20_000)
                    .min(agents),
            }
        })
        .collect()
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) at_ms: u64,
    /// Which of the agent's places.
    pub(super) place: usize,
    pub(super) isolate: usize,
}

/// How many calls there are at `at_ms`, over the mean, `ahead_h` from UTC.
pub(super) fn diurnal(at_ms: f64, ahead_h: f64) -> f64 {
    let hour = at_ms / 3_600_000.0 + ahead_h;
    1.0 + SWING * (std::f64::consts::TAU * (hour - 9.0) / 24.0).sin()
}

/// What is left of a burst.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Burst {
    next_ms: u64,
    kind: usize,
    left: u64,
    place: usize,
    isolate: usize,
}

/// An agent's day, call by call.
pub(super) struct Day<'a> {
    chance: &'a mut Chance,
    ahead_h: f64,
    between_bursts_ms: f64,
    next_burst_ms: f64,
    bursts: BinaryHeap<Reverse<Burst>>,
}

impl<'a> Day<'a> {
    pub(super) fn of(class: &Class, chance: &'a mut Chance) -> Self {
        let region = chance.one_of(REGIONS.map(|(share, _)| share));
        let size: f64 = BURSTS.iter().map(|(share, calls, _)| share * calls).sum();
        // As if the most came all day long; what is too much is left out.
        let most = 1.0 + SWING;
        let between_bursts_ms = DAY_MS as f64 * size / class.calls / most;
        let next_burst_ms = chance.exponential(between_bursts_ms);
        Self {
            chance,
            ahead_h: REGIONS[region].1,
            between_bursts_ms,
            next_burst_ms,
            bursts: BinaryHeap::new(),
        }
    }

    /// Begins the bursts that come before what is under way goes on.
    fn begin_bursts(&mut self) {
        let next_call = |bursts: &BinaryHeap<Reverse<Burst>>| {
            bursts
                .peek()
                .map_or(DAY_MS as f64, |burst| burst.0.next_ms as f64)
        };
        while self.next_burst_ms <= next_call(&self.bursts) && self.next_burst_ms < DAY_MS as f64 {
            let at_ms = self.next_burst_ms;
            self.next_burst_ms += self.chance.exponential(self.between_bursts_ms);
            let share = diurnal(at_ms, self.ahead_h) / (1.0 + SWING);
            if self.chance.happens(share) {
                let kind = self.chance.one_of(BURSTS.map(|(share, ..)| share));
                self.bursts.push(Reverse(Burst {
                    next_ms: at_ms as u64,
                    kind,
                    left: self.chance.geometric(BURSTS[kind].1),
                    place: self.chance.one_of(AT_PLACES),
                    isolate: self.chance.below(ISOLATES),
                }));
            }
        }
    }
}

impl Iterator for Day<'_> {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        self.begin_bursts();
        let Reverse(mut burst) = self.bursts.pop()?;
        let call = Call {
            at_ms: burst.next_ms,
            place: burst.place,
            isolate: burst.isolate,
        };
        burst.left -= 1;
        burst.next_ms += self.chance.exponential(BURSTS[burst.kind].2) as u64;
        if burst.left > 0 && burst.next_ms < DAY_MS {
            self.bursts.push(Reverse(burst));
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_all_agents_and_all_calls() {
        let classes = classes();
        assert_eq!(
            classes.iter().map(|class| class.agents).sum::<u64>(),
            AGENTS
        );
        let calls: f64 = classes
            .iter()
            .map(|class| class.calls * class.agents as f64)
            .sum();
        assert!((calls / CALLS - 1.0).abs() < 1e-6, "{calls}");
        assert!(classes.is_sorted_by(|a, b| a.calls >= b.calls && a.limit >= b.limit));
        assert!(
            classes
                .iter()
                .all(|class| class.limit > 0 && class.samples > 0)
        );
    }

    #[test]
    fn a_day_is_in_order_and_has_as_many_calls_as_its_class_says() {
        let mut chance = Chance::new(7);
        let class = Class {
            agents: 200,
            calls: 500.0,
            limit: 100,
            samples: 200,
        };
        let mut calls = 0;
        for _ in 0..class.samples {
            let day: Vec<Call> = Day::of(&class, &mut chance).collect();
            assert!(day.is_sorted_by(|a, b| a.at_ms <= b.at_ms));
            assert!(day.iter().all(|call| call.at_ms < DAY_MS));
            calls += day.len();
        }
        let mean = calls as f64 / class.samples as f64;
        assert!((mean / class.calls - 1.0).abs() < 0.1, "{mean}");
    }
}
