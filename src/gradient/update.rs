//! The arithmetic of one AdamW update, number by number.

use crate::simd::simd;

/// Calls `f` with the weighted sum of the sources, `len` numbers each; zeros if there is none.
pub(super) fn combine<'a>(sources: impl Iterator<Item = (&'a [f32], f32)>, len: usize, f: impl FnOnce(&[f32])) {
    let mut sources = sources.peekable();
    match sources.next() {
        Some((only, 1.0)) if sources.peek().is_none() => f(only),
        first => {
            let mut sum = vec![0.0; len];
            first.into_iter().chain(sources).for_each(|(row, weight)| add_scaled(&mut sum, row, weight));
            f(&sum);
        }
    }
}

fn add_scaled(sum: &mut [f32], row: &[f32], weight: f32) {
    simd(
        #[inline(always)]
        || {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += weight * value;
            }
        },
    );
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
