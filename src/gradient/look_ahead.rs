//! AdamW's step tried and taken back.

use super::cuda::DeviceStep;
use super::optimizer::{CHUNK, Group};
use super::update::{Numbers, update};
use super::{AdamW, Arena, Rows};
use candle_core::Result;
use rayon::prelude::*;

impl AdamW {
    /// What `f` gives after a step on the sum of some gradient rows, which is then taken back: without momentum and decay, and
    /// only of the shared parameters that are no tables.
    ///
    /// `p -= lr · g / (√(β₂ v + (1 - β₂) g²) / √(1 - β₂ᵗ) + ε)`, `t` being the step that would come next.
    pub fn look_ahead<R>(
        &self,
        arena: &Arena,
        rows: &Rows,
        used: &[usize],
        factor: f64,
        f: impl FnOnce() -> R,
    ) -> Result<R> {
        let b2 = self.options.betas[1];
        let numbers = |group: &Group| Numbers {
            b1: 0.0,
            b2: b2 as f32,
            decay: 1.0,
            step: (group.learning_rate * factor) as f32,
            correction2: (1.0 - b2.powf(self.steps as f64 + 1.0)).sqrt() as f32,
            epsilon: self.options.epsilon as f32,
            scale: 1.0,
        };
        if let Some(device) = &self.device {
            let Some(rows) = &rows.device else { candle_core::bail!("gradients that are not on the device") };
            let numbers: Vec<Numbers> = self.groups.iter().map(numbers).collect();
            let weights = [vec![1.0; used.len()]];
            let step = DeviceStep { numbers: &numbers, parts: &vec![0; numbers.len()], rows: used, weights: &weights };
            return device.look_ahead(arena, rows, &step, f);
        }
        let before = arena.with(|flat| flat[..arena.shared_len()].to_vec())?;
        arena.update(|flat| {
            for group in self.groups.iter().filter(|group| group.offset < before.len()) {
                let (range, numbers) = (group.offset..group.offset + group.len, numbers(group));
                flat[range.clone()]
                    .par_chunks_mut(CHUNK)
                    .zip(self.second[range].par_chunks(CHUNK))
                    .enumerate()
                    .for_each(|(chunk, (p, v))| {
                        let start = group.offset + chunk * CHUNK;
                        let (mut g, mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()], v.to_vec());
                        used.iter().for_each(|&row| rows.shared[row].add_to(start..start + p.len(), 1.0, &mut g));
                        update(p, &mut m, &mut v, &g, numbers);
                    });
            }
        })?;
        let result = f();
        arena.update(|flat| flat[..before.len()].copy_from_slice(&before))?;
        Ok(result)
    }
}
