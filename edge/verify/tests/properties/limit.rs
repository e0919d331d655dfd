//! Windows.

use agentidp_verify::limit::{Spent, Window, retry_after_s};
use proptest::prelude::*;

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn any_clock_and_any_limit_are_counted_without_overflow(
        now_ms in any::<u64>(),
        length_ms in any::<u64>(),
        limit in any::<u64>(),
        used in any::<u64>(),
    ) {
        let ends_ms = Window::at(now_ms, length_ms).ends_ms();
        let spent = Spent { limit, used, ends_ms };
        prop_assert!(spent.remaining() <= limit);
        prop_assert_eq!(spent.admitted(), used <= limit);
        prop_assert_eq!(spent.headers()[0].1.clone(), limit.to_string());
        prop_assert!(retry_after_s(ends_ms, now_ms) >= 1);
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
