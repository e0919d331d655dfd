//! Chance that is the same for the same seed, whatever crate comes or goes.

/// xoshiro256++ by Blackman and Vigna.
pub(super) struct Chance([u64; 4]);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        // SplitMix64.
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// In `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        (self.unit() * most as f64) as usize
    }

    /// Exponentially distributed.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Geometrically distributed, at least one.
    pub(super) fn geometric(&mut self, mean: f64) -> u64 {
        let stop = 1.0 / mean;
        1 + ((1.0 - self.unit()).ln() / (1.0 - stop).ln()) as u64
    }

    /// Lognormally distributed.
    pub(super) fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (spread * normal).exp()
    }

    /// The index of one of `shares`, which add up to one.
    pub(super) fn one_of(&mut self, shares: impl IntoIterator<Item = f64>) -> usize {
        let mut left = self.unit();
        let mut last = 0;
        for (index, share) in shares.into_iter().enumerate() {
            last = index;
            left -= share;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_for_the_same_seed_and_has_the_means_it_says() {
        let (mut one, mut same, mut other) = (Chance::new(1), Chance::new(1), Chance::new(2));
        let first: Vec<u64> = (0..5).map(|_| one.next()).collect();
        assert_eq!(first, (0..5).map(|_| same.next()).collect::<Vec<_>>());
        assert_ne!(first[0], other.next());

        let mut mean = |draw: fn(&mut Chance) -> f64| {
            (0..100_000).map(|_| draw(&mut one)).sum::<f64>() / 100_000.0
        };
        assert!((mean(Chance::unit) - 0.5).abs() < 0.01);
        assert!((mean(|chance| chance.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!((mean(|chance| chance.geometric(6.0) as f64) - 6.0).abs() < 0.1);
        let second = mean(|chance| chance.one_of([0.25, 0.75]) as f64);
        assert!((second - 0.75).abs() < 0.01);
        // The mean of a lognormal is exp(spread² / 2) medians.
        let lognormal = mean(|chance| chance.lognormal(10.0, 0.5));
        assert!((lognormal - 11.33).abs() < 0.2, "{lognormal}");
    }
}
