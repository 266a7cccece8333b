//! AdamW over the arena: clip, moments, decoupled weight decay and update in one pass.

use super::{Arena, GradientStore};
use candle_core::Result;
use rayon::prelude::*;

/// Numbers of AdamW that hold for every parameter (Loshchilov & Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

/// One parameter's own learning rate and decay.
#[derive(Clone, Copy, Debug)]
struct Group {
    offset: usize,
    len: usize,
    /// Peak learning rate; the schedule's factor multiplies it.
    learning_rate: f64,
    weight_decay: f64,
}

/// AdamW with its moments, which are explicit so that a run can be saved and resumed.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    groups: Vec<Group>,
    /// First moments, one a number of the arena.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
    /// Steps done.
    pub steps: u64,
}

/// Numbers of one parameter that one thread handles at a time.
const CHUNK: usize = 1 << 14;

impl AdamW {
    /// An optimizer at step zero; `rates(name)` gives each parameter's peak learning rate and weight decay.
    pub fn new(arena: &Arena, options: AdamWOptions, rates: impl Fn(&str) -> (f64, f64)) -> Self {
        let group = |(name, entry): (&String, &super::Entry)| {
            let (learning_rate, weight_decay) = rates(name);
            Group { offset: entry.slot.offset, len: entry.slot.len, learning_rate, weight_decay }
        };
        Self {
            options,
            groups: arena.entries().iter().map(group).collect(),
            first: vec![0.0; arena.len()],
            second: vec![0.0; arena.len()],
            steps: 0,
        }
    }

    /// One step on the joint gradient. `factor` is the schedule's, `scale` multiplies every gradient (clipping).
    ///
    /// As PyTorch's `AdamW`: decay first, then `p -= lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)`.
    pub fn step(&mut self, arena: &Arena, gradients: &GradientStore, factor: f64, scale: f32) -> Result<()> {
        self.steps += 1;
        let [b1, b2] = self.options.betas;
        let correction1 = 1.0 - b1.powf(self.steps as f64);
        let correction2 = (1.0 - b2.powf(self.steps as f64)).sqrt();
        let rows = gradients.lock();
        let (groups, first, second) = (&self.groups, &mut self.first, &mut self.second);
        let shared = arena.shared_len();
        let epsilon = self.options.epsilon;
        arena.update(|flat| {
            let (mut flat, mut first, mut second) = (flat, &mut first[..], &mut second[..]);
            for group in groups {
                let (values, rest) = std::mem::take(&mut flat).split_at_mut(group.len);
                let (m, m_rest) = std::mem::take(&mut first).split_at_mut(group.len);
                let (v, v_rest) = std::mem::take(&mut second).split_at_mut(group.len);
                (flat, first, second) = (rest, m_rest, v_rest);
                let gradient = match group.offset.checked_sub(shared) {
                    None => &rows.shared[0][group.offset..group.offset + group.len],
                    Some(offset) => &rows.heads[offset..offset + group.len],
                };
                let rate = group.learning_rate * factor;
                let numbers = Numbers {
                    b1: b1 as f32,
                    b2: b2 as f32,
                    decay: (1.0 - rate * group.weight_decay) as f32,
                    step: (rate / correction1) as f32,
                    correction2: correction2 as f32,
                    epsilon: epsilon as f32,
                    scale,
                };
                values
                    .par_chunks_mut(CHUNK)
                    .zip(m.par_chunks_mut(CHUNK))
                    .zip(v.par_chunks_mut(CHUNK))
                    .zip(gradient.par_chunks(CHUNK))
                    .for_each(|(((p, m), v), g)| update(p, m, v, g, numbers));
            }
        })
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    b1: f32,
    b2: f32,
    decay: f32,
    step: f32,
    correction2: f32,
    epsilon: f32,
    scale: f32,
}

fn update(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], n: Numbers) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                let g = g * n.scale;
                *m += (1.0 - n.b1) * (g - *m);
                *v = n.b2 * *v + (1.0 - n.b2) * g * g;
                *p = *p * n.decay - n.step * *m / (v.sqrt() / n.correction2 + n.epsilon);
            }
        },
    );
}
