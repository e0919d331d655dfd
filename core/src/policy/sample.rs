//! Which decisions keep their input, for replays: many of a small day, a share of a
//! large one, and never more than so many.

/// Whether the `nth` decision of a day keeps its input where `most` of a day do.
///
/// The first half of them do; then, of each time that as many came again as there
/// were so far, a quarter of the share before, so that all shares together are no
/// more than the other half.
pub(crate) fn is_sampled(nth: u64, most: u64) -> bool {
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
}
