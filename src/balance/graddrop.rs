//! GradDrop: each number of the gradient takes one sign, drawn by how much speaks for it.

use super::{Element, Method, Settings, Step, Unsolved};

/// At each place the numbers g of the tasks have the purity `P = ½ (1 + Σg/Σ|g|)`; those above 0 stay if P is above a
/// uniform draw, those below 0 stay if it is below (Chen et al. 2020, algorithm 1, lines 10 to 15; TorchJD's GradDrop).
/// Of those that go, the share `leak` stays.
///
/// The source adds up what stays, and so does this: where all tasks agree it is equal weighting. LibMTL draws on the
/// hidden states, once an example, times the sign of the state; `level = "representation"` draws there too, a number at
/// a time.
pub(super) struct GradDrop {
    leak: f32,
}

impl GradDrop {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { leak: settings.number("leak") as f32 }
    }
}

/// What becomes of the numbers of one place, given its draw from 0 to below 1.
pub(super) fn drop(gradients: &[f32], leak: f32, draw: f32) -> f32 {
    let (mut above, mut below) = (0.0f32, 0.0f32);
    for &g in gradients {
        if g > 0.0 {
            above += g;
        } else {
            below += g;
        }
    }
    let size = above - below;
    if size == 0.0 {
        return 0.0;
    }
    let purity = 0.5 * (1.0 + (above + below) / size);
    let (above_stays, below_stays) = (purity > draw, purity < draw);
    let part = |sum: f32, stays: bool| if stays { sum } else { leak * sum };
    part(above, above_stays) + part(below, below_stays)
}

impl Method for GradDrop {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(vec![1.0; step.tasks.len()])
    }

    fn elements<'a>(&'a self, step: &Step) -> Option<Box<Element<'a>>> {
        let random = step.random();
        Some(Box::new(move |place, gradients: &[f32]| {
            let draw = (random.bits_at(place) >> 40) as f32 / (1u32 << 24) as f32;
            drop(gradients, self.leak, draw)
        }))
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
        let above = (0..10_000).filter(|&place| element(place, &[3.0, -1.0]) > 0.0).count();
        assert!((7_300..7_700).contains(&above), "{above}");
        assert_eq!(element(17, &[3.0, -1.0]), element(17, &[3.0, -1.0]));
    }
}
