//! GradDrop: each number of the gradient takes one sign, drawn by how much speaks for it.

use super::{Elements, Method, Settings, Step, Unsolved};
use crate::data::random::Random;
use crate::simd::simd;

/// At each place the numbers g of the tasks have the purity `P = ½ (1 + Σg/Σ|g|)`; those above 0 stay if P is above a
/// uniform draw, those below 0 stay if it is below (Chen et al. 2020, algorithm 1, lines 10 to 15; TorchJD's GradDrop).
/// Of those that go, the share `leak` stays.
///
/// The source adds up what stays, and so does this: where all tasks agree it is equal weighting. LibMTL draws on the
/// hidden states, once an example, times the sign of the state.
pub(super) struct GradDrop {
    leak: f32,
}

impl GradDrop {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { leak: settings.number("leak") as f32 }
    }
}

/// What becomes of the numbers of places whose sums above and below zero are known, given a draw from 0 to below 1.
#[inline(always)]
fn kept(above: f32, below: f32, leak: f32, draw: f32) -> f32 {
    let size = above - below;
    // Where all are zero nothing speaks for a sign, and nothing stays.
    let purity = if size == 0.0 { 0.5 } else { 0.5 * (1.0 + (above + below) / size) };
    let above_share = if purity > draw { 1.0 } else { leak };
    let below_share = if purity < draw { 1.0 } else { leak };
    above * above_share + below * below_share
}

/// What becomes of the numbers of one place.
#[cfg(test)]
pub(super) fn drop(gradients: &[f32], leak: f32, draw: f32) -> f32 {
    let [above, below] = gradients.iter().fold([0.0; 2], add);
    kept(above, below, leak, draw)
}

/// Adds a number to the sum of its sign; NaN to both.
#[inline(always)]
fn add([above, below]: [f32; 2], g: &f32) -> [f32; 2] {
    [above + if *g < 0.0 { 0.0 } else { *g }, below + if *g > 0.0 { 0.0 } else { *g }]
}

struct Drops {
    random: Random,
    leak: f32,
}

/// Places that are computed side by side.
const LANES: usize = 16;

impl Drops {
    #[inline(always)]
    fn draw(&self, place: u64) -> f32 {
        (self.random.bits_at(place) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Combines `LANES` places from `start` of the rows on.
    #[inline(always)]
    fn block(&self, place: u64, rows: &[&[f32]], start: usize) -> [f32; LANES] {
        let mut sums = [[0.0f32; LANES]; 2];
        for row in rows {
            let row: &[f32; LANES] = row[start..].first_chunk().expect("rows as long as the result");
            for lane in 0..LANES {
                [sums[0][lane], sums[1][lane]] = add([sums[0][lane], sums[1][lane]], &row[lane]);
            }
        }
        let mut out = [0.0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            *out = kept(sums[0][lane], sums[1][lane], self.leak, self.draw(place + lane as u64));
        }
        out
    }
}

impl Elements for Drops {
    fn combine(&self, first: u64, rows: &[&[f32]], out: &mut [f32]) {
        let (blocks, rest) = out.as_chunks_mut::<LANES>();
        let done = LANES * blocks.len();
        simd(
            #[inline(always)]
            || {
                for (block, out) in blocks.iter_mut().enumerate() {
                    *out = self.block(first + (LANES * block) as u64, rows, LANES * block);
                }
            },
        );
        for (at, out) in rest.iter_mut().enumerate() {
            let [above, below] = rows.iter().map(|row| &row[done + at]).fold([0.0; 2], add);
            *out = kept(above, below, self.leak, self.draw(first + (done + at) as u64));
        }
    }
}

impl Method for GradDrop {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(vec![1.0; step.tasks.len()])
    }

    fn elements<'a>(&'a self, step: &Step) -> Option<Box<dyn Elements + 'a>> {
        Some(Box::new(Drops { random: step.random(), leak: self.leak }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};
    use super::*;

    #[test]
    fn one_sign_stays() {
        assert_eq!(drop(&[3.0, -1.0, 0.0], 0.0, 0.7), 3.0);
        assert_eq!(drop(&[3.0, -1.0, 0.0], 0.0, 0.8), -1.0);
        assert_eq!(drop(&[3.0, -1.0], 0.5, 0.7), 2.5);
        assert_eq!(drop(&[1.0, 2.0], 0.0, 0.999), 3.0);
        assert_eq!(drop(&[-1.0, -2.0], 0.0, 1e-9), -3.0);
        assert_eq!(drop(&[0.0, 0.0], 0.0, 0.5), 0.0);
        assert!(drop(&[f32::NAN, 1.0], 0.0, 0.5).is_nan());
    }

    #[test]
    fn signs_are_drawn_by_their_share() {
        let method = method("graddrop", 2);
        let element = method.elements(&step(&[1.0, 1.0])).unwrap();
        let above = (0..10_000).filter(|&place| element.at(place, &[3.0, -1.0]) > 0.0).count();
        assert!((7_300..7_700).contains(&above), "{above}");
        assert_eq!(element.at(17, &[3.0, -1.0]), element.at(17, &[3.0, -1.0]));
    }
}
