//! The arithmetic of one AdamW update, number by number.

use super::row::add_rows;
use crate::simd::simd;

/// Calls `f` with the weighted sum of the sources, `len` numbers each; zeros if there is none.
pub(super) fn combine<'a>(sources: impl Iterator<Item = (&'a [f32], f32)>, len: usize, f: impl FnOnce(&[f32])) {
    match &sources.collect::<Vec<_>>()[..] {
        [(only, 1.0)] => f(only),
        sources => {
            let mut sum = vec![0.0; len];
            add_rows(sources, &mut sum);
            f(&sum);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub b1: f32,
    pub b2: f32,
    pub decay: f32,
    pub step: f32,
    pub correction2: f32,
    pub epsilon: f32,
    pub scale: f32,
}

pub(super) fn update(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], n: Numbers) {
    simd(
        #[inline(always)]
        || {
            for (((p, m), v), g) in p.iter_mut().zip(&mut *m).zip(&mut *v).zip(g) {
                let g = g * n.scale;
                *m += (1.0 - n.b1) * (g - *m);
                *v = n.b2 * *v + (1.0 - n.b2) * g * g;
                *p = *p * n.decay - n.step * *m / (v.sqrt() / n.correction2 + n.epsilon);
            }
        },
    );
}
