//! How far a revocation has come, and when: each isolate of each place asks the
//! feed as `edge/src/feed.rs` does, on its calls, by the crate's own numbers; questions
//! take their way and are lost. And how often that asks the core.

use agentidp_verify::revocations::{ASK_EVERY_MS, OLDEST_VIEW_MS};

use super::assumptions::{
    CALLS, DAY_MS, ISOLATES, JITTER, LOST, PATIENCE_MS, PLACES, PLACES_EXPONENT, REGIONS,
    ROUND_TRIP_MS, ROUND_TRIP_SPREAD,
};
use super::chance::Chance;
use super::tally::{HOURS, Rate};
use super::traffic::diurnal;

const ASK_EVERY: f64 = ASK_EVERY_MS as f64;
const OLDEST_VIEW: f64 = OLDEST_VIEW_MS as f64;

/// Milliseconds from the revocation's answer until no isolate admits the token any
/// more: one number for each revocation, in order.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// At one place, any of them.
    pub(super) of_a_place: Vec<f64>,
    /// At the last of all places.
    pub(super) of_all: Vec<f64>,
    /// Questions to the feed.
    pub(super) polls_by_hour: [Rate; HOURS],
}

struct Site {
    round_trip_ms: f64,
    /// Between two calls at one of its isolates.
    between_calls_ms: f64,
}

/// The share of calls that the place of each rank has.
fn shares() -> Vec<f64> {
    let weights: Vec<f64> = (1..=PLACES)
        .map(|rank| (rank as f64).powf(-PLACES_EXPONENT))
        .collect();
    let all: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / all).collect()
}

/// Follows so many revocations to every isolate.
pub(super) fn simulate(revocations: usize, chance: &mut Chance) -> Reach {
    let isolate_shares: Vec<f64> = shares()
        .iter()
        .map(|share| share / ISOLATES as f64)
        .collect();
    let sites: Vec<Site> = isolate_shares
        .iter()
        .map(|share| Site {
            round_trip_ms: chance.lognormal(ROUND_TRIP_MS, ROUND_TRIP_SPREAD),
            between_calls_ms: DAY_MS as f64 / (CALLS * share),
        })
        .collect();
    let (mut of_a_place, mut of_all) = (Vec::new(), Vec::new());
    for _ in 0..revocations {
        let mut last: f64 = 0.0;
        for site in &sites {
            let isolates = (0..ISOLATES).map(|_| heard_after(site, chance));
            let place = isolates.fold(0.0, f64::max);
            of_a_place.push(place);
            last = last.max(place);
        }
        of_all.push(last);
    }
    of_a_place.sort_by(f64::total_cmp);
    of_all.sort_by(f64::total_cmp);
    Reach {
        of_a_place,
        of_all,
        polls_by_hour: polls(&isolate_shares),
    }
}

/// When an isolate admits nobody any more on a view without the revocation, which
/// is answered at 0: it has a younger view, or the one it has is too old.
fn heard_after(site: &Site, chance: &mut Chance) -> f64 {
    // When the view that it has at first was asked for; the feed is asked in a
    // rhythm that knows nothing of the revocation.
    let mut asked = -chance.unit() * (ASK_EVERY + site.between_calls_ms + site.round_trip_ms);
    let mut begin = asked + ASK_EVERY;
    loop {
        // On the first call after the view is half a second old.
        let question = begin + chance.exponential(site.between_calls_ms);
        if question >= asked + OLDEST_VIEW {
            // Nobody is admitted on the old view: that call waits for a new one.
            return (asked + OLDEST_VIEW).max(0.0);
        }
        let round_trip = chance.lognormal(site.round_trip_ms, JITTER);
        if chance.happens(LOST) || round_trip > PATIENCE_MS {
            begin = question + PATIENCE_MS;
            continue;
        }
        let at_the_core = question + round_trip / 2.0;
        let answered = question + round_trip;
        if at_the_core >= 0.0 {
            return answered.min(asked + OLDEST_VIEW).max(0.0);
        }
        asked = question;
        begin = answered.max(asked + ASK_EVERY);
    }
}

/// How often the core is asked, by the hour: an isolate asks on its first call
/// after half a second.
fn polls(isolate_shares: &[f64]) -> [Rate; HOURS] {
    std::array::from_fn(|hour| {
        let at_ms = (hour as f64 + 0.5) * 3_600_000.0;
        let now: f64 = REGIONS
            .iter()
            .map(|(share, ahead_h)| share * diurnal(at_ms, *ahead_h))
            .sum();
        let mean: f64 = isolate_shares
            .iter()
            .map(|share| {
                let between_ms = DAY_MS as f64 / (CALLS * share * now);
                ISOLATES as f64 * 1000.0 / (ASK_EVERY + between_ms)
            })
            .sum();
        Rate {
            mean,
            peak: mean + 4.0 * mean.sqrt(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::quantile_of as quantile;

    #[test]
    fn nobody_admits_longer_than_a_view_may_be_old() {
        let mut chance = Chance::new(11);
        for between_calls_ms in [1.0, 80.0, 2_000.0, 60_000.0] {
            let site = Site {
                round_trip_ms: 80.0,
                between_calls_ms,
            };
            let mut all: Vec<f64> = (0..20_000)
                .map(|_| heard_after(&site, &mut chance))
                .collect();
            all.sort_by(f64::total_cmp);
            assert!(all[0] >= 0.0);
            assert!(quantile(&all, 1000) <= OLDEST_VIEW);
        }
        // A busy isolate hears within half a second and the way.
        let site = Site {
            round_trip_ms: 80.0,
            between_calls_ms: 1.0,
        };
        let mut all: Vec<f64> = (0..20_000)
            .map(|_| heard_after(&site, &mut chance))
            .collect();
        all.sort_by(f64::total_cmp);
        assert!(
            (quantile(&all, 500) - 300.0).abs() < 60.0,
            "{}",
            quantile(&all, 500)
        );
    }
}
