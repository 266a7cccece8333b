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
