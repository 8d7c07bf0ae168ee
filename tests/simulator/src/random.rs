//! Chance that can be repeated, and the distributions that callers and providers are drawn from. Never a random source of the system.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "drawn figures: below 2^53, and the last digit does not matter"
)]

use std::time::Duration;

/// A stream of numbers (SplitMix64), the same for the same beginning.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One that depends on every word.
    pub(crate) fn of(words: &[u64]) -> Self {
        let mut random = Self::new(0x6f75_7472_6967_6765);
        for word in words {
            random.0 = random.bits() ^ word.rotate_left(17);
        }
        Self::new(random.bits())
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// From zero to `most`.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        self.between(0, most as u64) as usize
    }

    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// From zero to `most`.
    pub(crate) fn time(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.between(0, most.as_micros() as u64))
    }

    /// Half of all are below `median`; with `sigma` 0.5 one in twenty is above 2.3 times that, with 1.0 above 5.2 times.
    pub(crate) fn log_normal(&mut self, median: Duration, sigma: f64) -> Duration {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let normal = radius * (2.0 * std::f64::consts::PI * self.unit()).cos();
        Duration::from_micros((median.as_micros() as f64 * (sigma * normal).exp()) as u64)
    }

    /// The gap between events that know nothing of each other.
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        Duration::from_micros((mean.as_micros() as f64 * -self.unit().ln()) as u64)
    }

    /// Above zero, up to one.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_have_the_shape_that_they_are_named_after() {
        let mut random = Random::new(7);
        let second = Duration::from_secs(1);
        let mut times: Vec<Duration> = (0..10_001).map(|_| random.log_normal(second, 0.5)).collect();
        times.sort_unstable();
        let near = |time: Duration, expected: f64| (time.as_secs_f64() / expected - 1.0).abs() < 0.1;
        assert!(near(times[5_000], 1.0), "{:?}", times[5_000]);
        assert!(near(times[9_500], 2.276), "{:?}", times[9_500]);
        let sum: Duration = (0..10_000).map(|_| random.exponential(second)).sum();
        assert!(near(sum / 10_000, 1.0), "{sum:?}");
        let hits = (0..10_000).filter(|_| random.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| (3..=5).contains(&random.between(3, 5))));
    }

    #[test]
    fn every_word_matters_and_so_does_its_place() {
        let first = |words: &[u64]| Random::of(words).bits();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1, 2]), first(&[1, 3]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }
}
