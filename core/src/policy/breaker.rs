//! What keeps failing rests: a version that failed three times in a row is not
//! run for a while, so that it burns no more than its share of a processor.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::OrgId;

/// How many failures in a row are borne.
const BORNE: u32 = 3;
/// The first rest; each failure after it doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// How often it doubles: up to 1.6 s.
const DOUBLINGS: u32 = 4;

/// Whose version, and which: many tenants may have one module, with settings of
/// their own, and nobody rests for somebody else's failures.
type Key = (OrgId, String);

/// The versions of one module that failed lately.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failing: Mutex<HashMap<Key, Failing>>,
    /// How many there are, so that a module that works pays one load.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Failing {
    times: u32,
    rests_until: Option<Instant>,
}

impl Breaker {
    /// How many times in a row a version failed, while it rests.
    pub(super) fn rests(&self, org_id: OrgId, version: &str, now: Instant) -> Option<u32> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failing.get(&(org_id, version.to_owned()))?;
        let rests = known.rests_until.is_some_and(|until| now < until);
        rests.then_some(known.times)
    }

    /// Remembers how a version did.
    pub(super) fn did(&self, org_id: OrgId, version: &str, well: bool, now: Instant) {
        if well && self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (org_id, version.to_owned());
        if well {
            failing.remove(&key);
        } else {
            let known = failing.entry(key).or_insert(Failing {
                times: 0,
                rests_until: None,
            });
            known.times = known.times.saturating_add(1);
            known.rests_until = known
                .times
                .checked_sub(BORNE)
                .map(|over| now + FIRST * 2_u32.pow(over.min(DOUBLINGS)));
        }
        self.count.store(failing.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;

    fn tenant(ms: u64) -> OrgId {
        OrgId::new(Now::from_ms(ms), &mut rand::rng())
    }

    #[test]
    fn what_fails_three_times_rests_longer_each_time_until_it_succeeds() {
        let (breaker, org_id) = (Breaker::default(), tenant(1));
        let mut now = Instant::now();
        for _ in 0..2 {
            breaker.did(org_id, "v", false, now);
            assert_eq!(breaker.rests(org_id, "v", now), None);
        }
        for (times, rest) in [
            (3, 100),
            (4, 200),
            (5, 400),
            (6, 800),
            (7, 1_600),
            (8, 1_600),
        ] {
            breaker.did(org_id, "v", false, now);
            let last = now + Duration::from_millis(rest - 1);
            assert_eq!(breaker.rests(org_id, "v", last), Some(times));
            now += Duration::from_millis(rest);
            assert_eq!(breaker.rests(org_id, "v", now), None, "{rest}");
        }
        breaker.did(org_id, "v", true, now);
        breaker.did(org_id, "v", false, now);
        assert_eq!(breaker.rests(org_id, "v", now), None);
    }

    #[test]
    fn nobody_rests_for_anothers_failures() {
        let (breaker, org_id, other) = (Breaker::default(), tenant(1), tenant(2));
        let now = Instant::now();
        for _ in 0..9 {
            breaker.did(org_id, "v", false, now);
        }
        assert!(breaker.rests(org_id, "v", now).is_some());
        assert_eq!(breaker.rests(other, "v", now), None);
        assert_eq!(breaker.rests(org_id, "w", now), None);
        breaker.did(other, "v", true, now);
        assert!(breaker.rests(org_id, "v", now).is_some());
    }
}
