//! Windows and counters.

use std::collections::HashMap;

use agentidp_verify::limit::{Counter, Spent, Window, retry_after_s};
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
            let spent = counter.take(minute(index), limit);
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
            let spent = counter.take(minute(7), limit);
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
            let spent = counter.take(window, limit);
            prop_assert!(spent.remaining() <= limit);
            prop_assert!(!spent.admitted() || limit > 0);
            prop_assert_eq!(spent.headers()[0].1.clone(), limit.to_string());
            prop_assert!(retry_after_s(spent.ends_ms, now_ms) >= 1);
        }
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
