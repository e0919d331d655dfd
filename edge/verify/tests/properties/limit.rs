//! Windows and counters.

use std::collections::HashMap;

use agentidp_verify::limit::{Counter, Permits, Spent, Window, retry_after_s};
use proptest::prelude::*;

/// Moments that a clock shows which stumbles by no more than two windows.
fn stumbling_clock() -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![6 => Just(0i64), 2 => 1..4i64, 2 => -2..0i64];
    prop::collection::vec(step, 1..80).prop_map(|steps| {
        let mut latest = 100i64;
        let indices = steps.into_iter().map(|step| {
            let index = latest + step;
            latest = latest.max(index);
            index.unsigned_abs()
        });
        indices.collect()
    })
}

fn minute(index: u64) -> Window {
    Window {
        index,
        length_ms: 60_000,
    }
}

/// How many uses are left of these permits.
fn left(mut permits: Permits, limit: u64) -> u64 {
    let mut left = 0;
    while permits.any() {
        assert!(permits.allow(minute(7), limit));
        permits.spend();
        left += 1;
    }
    left
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn no_window_admits_more_than_its_limit_in_whatever_order_uses_come(
        indices in stumbling_clock(),
        limit in 0..6u64,
    ) {
        let mut counter = Counter::new(minute(indices[0]));
        let mut admitted: HashMap<u64, u64> = HashMap::new();
        for index in indices {
            let spent = counter.lease(minute(index), limit, 1).spend();
            let window = spent.ends_ms / 60_000 - 1;
            prop_assert!(window >= index, "a use counts now or later, never before");
            let count = admitted.entry(window).or_default();
            prop_assert_eq!(spent.admitted(), *count < limit, "and no use is refused early");
            *count += u64::from(spent.admitted());
            prop_assert!(*count <= limit);
            prop_assert_eq!(spent.remaining(), limit - *count);
        }
    }

    #[test]
    fn a_limit_that_moves_within_a_window_is_judged_by_all_that_was_used(
        limits in prop::collection::vec(0..8u64, 1..60),
    ) {
        let mut counter = Counter::new(minute(7));
        let mut used = 0;
        for limit in limits {
            let spent = counter.lease(minute(7), limit, 1).spend();
            prop_assert_eq!(spent.admitted(), used < limit);
            used += u64::from(spent.admitted());
            prop_assert_eq!(spent.remaining(), limit.saturating_sub(used));
        }
    }

    #[test]
    fn any_clock_and_any_limit_are_counted_without_overflow(
        uses in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..40),
    ) {
        let mut counter = Counter::new(Window::at(0, 0));
        for (now_ms, length_ms, limit) in uses {
            let window = Window::at(now_ms, length_ms);
            let spent = counter.lease(window, limit, 1).spend();
            prop_assert!(spent.remaining() <= limit);
            prop_assert!(!spent.admitted() || limit > 0);
            prop_assert_eq!(spent.headers()[0].1.clone(), limit.to_string());
            prop_assert!(retry_after_s(spent.ends_ms, now_ms) >= 1);
        }
    }

    #[test]
    fn leases_of_many_isolates_admit_no_more_than_the_limit_whoever_loses_one(
        turns in prop::collection::vec((0..4usize, 1..80u64, 0..10u8, 0..40u8), 1..200),
        limit in 0..200u64,
    ) {
        let mut object = Counter::new(minute(7));
        let mut isolates: [Option<Permits>; 4] = [None; 4];
        let mut used = 0;
        let mut lost = 0;
        for (isolate, wanted, uses, luck) in turns {
            let own = &mut isolates[isolate];
            // An isolate ends now and then, and what it had ends with it.
            if luck == 0 {
                lost += own.take().map_or(0, |permits| left(permits, limit));
            }
            let leased = object.lease(minute(7), limit, wanted);
            match own {
                Some(own) => own.add(leased),
                None => *own = Some(leased),
            }
            let Some(own) = own else { continue };
            for _ in 0..uses {
                let spent = own.spend();
                prop_assert!(spent.remaining() <= limit);
                used += u64::from(spent.admitted());
            }
            prop_assert!(used + lost <= limit);
        }
        let unspent: u64 = isolates.into_iter().flatten().map(|own| left(own, limit)).sum();
        let object_has = limit - used - lost - unspent;
        // Nothing is lost but what an isolate took with it.
        let mut rest = 0;
        while object.lease(minute(7), limit, 1).spend().admitted() {
            rest += 1;
        }
        prop_assert_eq!(rest, object_has);
    }

    #[test]
    fn a_moment_lies_in_its_window_and_whoever_waits_as_told_comes_after_it(
        now_ms in 0..u64::MAX / 2,
        length_ms in 1..10_000_000u64,
    ) {
        let window = Window::at(now_ms, length_ms);
        prop_assert!(window.index * length_ms <= now_ms && now_ms < window.ends_ms());
        let back_ms = now_ms + 1000 * retry_after_s(window.ends_ms(), now_ms);
        prop_assert!(Window::at(back_ms, length_ms).index > window.index);
        let spent = Spent { limit: 1, used: 1, ends_ms: window.ends_ms() };
        let [_, _, (_, reset_s)] = spent.headers();
        let reset_s: u64 = reset_s.parse().unwrap();
        prop_assert_eq!(reset_s, window.ends_ms().div_ceil(1000));
    }
}
