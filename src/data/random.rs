//! A small seeded generator whose whole state is one number, so that draws are the same on every machine and can be
//! saved and resumed. Not for cryptography.

use serde::{Deserialize, Serialize};

/// SplitMix64 (Steele, Lea & Flood 2014): a counter whose every value is mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator for one purpose. Different parts, or the same parts in another order, give unrelated streams.
    pub fn new(parts: &[u64]) -> Self {
        let state = parts.iter().fold(0, |state: u64, &part| mix(state.wrapping_add(GAMMA) ^ mix(part)));
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// The bits that the draw after `n` others would give; draws nothing.
    pub fn bits_at(&self, n: u64) -> u64 {
        mix(self.state.wrapping_add(GAMMA.wrapping_mul(n.wrapping_add(1))))
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the normal distribution of mean 0 and variance 1 (Box & Muller 1958; the other of the pair is
    /// dropped).
    pub fn normal(&mut self) -> f64 {
        let length = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        length * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A number from 0 to below `bound`, every one as likely as every other (Lemire 2019, section 4).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        let bound = bound as u64;
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as usize;
            }
        }
    }

    /// The first `count` places of a random order of `items` (Fisher–Yates from the front): the draw of a smaller
    /// `count` is a prefix of the draw of a larger one.
    pub fn draw<T>(&mut self, items: &mut [T], count: usize) {
        for place in 0..count.min(items.len()) {
            let other = place + self.below(items.len() - place);
            items.swap(place, other);
        }
    }

    /// A random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.draw(items, items.len());
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_reference_implementation() {
        let mut random = Random { state: 1_234_567 };
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!(expected.map(|_| random.bits()), expected);
    }

    #[test]
    fn bits_ahead_are_those_that_are_drawn() {
        let mut random = Random::new(&[5]);
        let ahead = [0, 1, 2].map(|n| random.bits_at(n));
        assert_eq!(ahead, [0; 3].map(|_| random.bits()));
    }

    #[test]
    fn numbers_have_their_mean_and_variance() {
        let mut random = Random::new(&[9]);
        let mut moments = |draw: &dyn Fn(&mut Random) -> f64| {
            let draws: Vec<f64> = (0..100_000).map(|_| draw(&mut random)).collect();
            let mean = draws.iter().sum::<f64>() / 1e5;
            (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5)
        };
        let (mean, variance) = moments(&|random| random.unit());
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.01, "{mean} {variance}");
        let (mean, variance) = moments(&|random| random.normal());
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn range_is_even() {
        let mut random = Random::new(&[7]);
        let mut counts = [0; 6];
        (0..60_000).for_each(|_| counts[random.below(6)] += 1);
        assert!(counts.iter().all(|&count| (9_600..10_400).contains(&count)), "{counts:?}");
    }

    #[test]
    fn smaller_draws_are_prefixes_of_larger_ones() {
        let draw = |count| {
            let mut items: Vec<_> = (0..50).collect();
            Random::new(&[3, 1]).draw(&mut items, count);
            items[..count].to_vec()
        };
        assert_eq!(draw(10), draw(50)[..10]);
        let mut all = draw(50);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn parts_and_their_order_matter() {
        let first = |parts: &[u64]| Random::new(parts).bits();
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
        assert_ne!(first(&[0]), first(&[]));
    }
}
