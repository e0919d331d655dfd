//! Which decisions keep their input, for replays: many of a small day, a share of a
//! large one, and never more than so many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Now;
use crate::ids::OrgId;

/// Whether the `nth` decision of a day keeps its input where `most` of a day do.
///
/// The first half of them do; then, of each time that as many came again as there
/// were so far, a quarter of the share before, so that all shares together are no
/// more than the other half.
fn is_sampled(nth: u64, most: u64) -> bool {
    let first = most / 2;
    if nth <= first {
        return nth > 0;
    }
    if first == 0 {
        return false;
    }
    // Decisions `first × 2^n + 1` to `first × 2^(n+1)`: one in 4^(n+1).
    let n = ((nth - 1) / first).ilog2();
    4_u64
        .checked_pow(n + 1)
        .is_some_and(|one_in| nth.is_multiple_of(one_in))
}

/// How many decisions of each tenant this process has made today. A denial is taken
/// back from the tenant's day, and counts here all the same.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<Today>);

#[derive(Debug, Default)]
struct Today {
    day: u64,
    decisions: HashMap<OrgId, u64>,
}

impl Samples {
    /// Counts a decision, which is the tenant's `nth` token today if it is one, and
    /// says whether its input is kept, where `most` of a day are.
    pub(crate) fn take(&self, org_id: OrgId, nth: u64, most: u64, now: Now) -> bool {
        let day = now.s() / 86_400;
        let mut today = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if today.day != day {
            *today = Today {
                day,
                decisions: HashMap::new(),
            };
        }
        let here = today.decisions.entry(org_id).or_default();
        *here += 1;
        is_sampled(nth.max(*here), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_keeps_what_it_may_and_large_days_are_kept_throughout() {
        for most in [0, 1, 2, 10, 1_000] {
            let kept = (0..=1_000_000).filter(|nth| is_sampled(*nth, most)).count();
            assert!(kept as u64 <= most, "{kept} of {most}");
        }
        let kept = |from: u64, to: u64| (from..=to).filter(|nth| is_sampled(*nth, 1_000)).count();
        assert_eq!(kept(1, 500), 500);
        assert_eq!(kept(501, 1_000), 125);
        assert!((50..70).contains(&kept(1_001, 2_000)));
        assert!(kept(16_001, 32_000) > 0);
        assert!(!is_sampled(u64::MAX, 2) && !is_sampled(0, 1_000));
    }

    #[test]
    fn a_tenant_that_is_denied_everything_keeps_no_more_than_others() {
        let samples = Samples::default();
        let now = Now::from_ms(86_400_000 * 20_000);
        let org_id = OrgId::new(now, &mut rand::rng());
        let kept = |now| {
            (0..10_000)
                .filter(|_| samples.take(org_id, 1, 100, now))
                .count()
        };
        assert!((50..=100).contains(&kept(now)));
        assert!((50..=100).contains(&kept(Now::from_ms(now.ms() + 86_400_000))));
    }
}
