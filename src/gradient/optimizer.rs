//! AdamW over the arena: clip, moments, decoupled weight decay and update in one pass.

use super::cuda::{DeviceMoments, DeviceStep};
use super::row::add_weighted;
use super::update::{Numbers, combine, update};
use super::{Arena, GradientStore, Parts, Table};
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
pub(super) struct Group {
    /// Place among the arena's entries.
    pub entry: usize,
    pub offset: usize,
    pub len: usize,
    /// Peak learning rate; the schedule's factor multiplies it.
    pub learning_rate: f64,
    weight_decay: f64,
}

/// AdamW with its moments, which are explicit so that a run can be saved and resumed.
///
/// Rows of tables that a step does not touch have a zero gradient, but move on by their momentum and decay. Those
/// updates are put off until the row is read again ([`AdamW::catch_up`]) or everything is ([`AdamW::settle`]), and then
/// done step by step: the result has the same bits as if every step had updated every row. On a device every step updates
/// every row, and the moments are there too.
#[derive(Debug)]
pub struct AdamW {
    pub(super) options: AdamWOptions,
    pub(super) groups: Vec<Group>,
    /// None on a device.
    tables: Vec<TableState>,
    /// First moments, one a number of the arena; none on a device.
    first: Vec<f32>,
    /// Second moments.
    pub(super) second: Vec<f32>,
    pub(super) steps: u64,
    pub(super) device: Option<DeviceMoments>,
}

/// A table's rates, and which of its rows are behind.
#[derive(Debug)]
struct TableState {
    table: Table,
    group: Group,
    /// Of each row, steps of `history` that it has seen.
    seen: Vec<u32>,
    /// Steps since all rows were settled.
    history: Vec<Numbers>,
}

/// Numbers of one parameter that one thread handles at a time.
pub(super) const CHUNK: usize = 1 << 13;

impl AdamW {
    /// An optimizer at step zero; `rates(name)` gives each parameter's peak learning rate and weight decay.
    pub fn new(arena: &Arena, options: AdamWOptions, rates: impl Fn(&str) -> (f64, f64)) -> Self {
        let group = |(name, entry): (&String, &super::Entry)| {
            let (learning_rate, weight_decay) = rates(name);
            Group {
                entry: entry.slot.index,
                offset: entry.slot.offset,
                len: entry.slot.len,
                learning_rate,
                weight_decay,
            }
        };
        let groups: Vec<Group> = arena.entries().iter().map(group).collect();
        let state = |table: &Table| TableState {
            table: *table,
            group: *groups.iter().find(|group| group.offset == table.offset).expect("a table is a parameter"),
            seen: vec![0; table.entries],
            history: Vec::new(),
        };
        let device = DeviceMoments::new(arena);
        let (tables, len) = match device {
            Some(_) => (Vec::new(), 0),
            None => (arena.tables().iter().map(state).collect(), arena.len()),
        };
        Self { options, tables, groups, first: vec![0.0; len], second: vec![0.0; len], steps: 0, device }
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments, one of each a number of the arena. Those of tables are up to date after
    /// [`AdamW::settle`]. Those on a device are not here but in [`AdamW::copies`].
    pub fn moments(&self) -> [&[f32]; 2] {
        [&self.first, &self.second]
    }

    /// Copies of both moments, wherever they are.
    ///
    /// # Errors
    /// If they cannot be copied from a device.
    pub fn copies(&self) -> Result<[Vec<f32>; 2]> {
        self.device.as_ref().map_or_else(|| Ok([self.first.clone(), self.second.clone()]), DeviceMoments::copies)
    }

    /// Calls `f` with both moments, or with copies of those that are on a device.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn with_moments<R>(&self, f: impl FnOnce([&[f32]; 2]) -> R) -> Result<R> {
        if self.device.is_none() {
            return Ok(f(self.moments()));
        }
        let [first, second] = self.copies()?;
        Ok(f([&first, &second]))
    }

    /// Goes on from saved moments, beside settled parameters.
    ///
    /// # Errors
    /// If they cannot be copied to a device.
    ///
    /// # Panics
    /// If there are not as many moments as numbers in the arena.
    pub fn restore(&mut self, first: Vec<f32>, second: Vec<f32>, steps: u64) -> Result<()> {
        let len = self.groups.iter().map(|group| group.len).sum::<usize>();
        assert!(first.len() == len && second.len() == len, "moments of another arena");
        self.steps = steps;
        match &mut self.device {
            Some(device) => device.restore([&first, &second])?,
            None => (self.first, self.second) = (first, second),
        }
        self.forget();
        Ok(())
    }

    /// Takes the parameters for settled, as after they were overwritten.
    pub fn forget(&mut self) {
        for state in &mut self.tables {
            state.history.clear();
            state.seen.fill(0);
        }
    }

    /// One step on the sum of the gradient rows, each times its weight `[part][row]` in each part of the shared parameters.
    /// `factor` is the schedule's, `scale` multiplies every gradient (clipping).
    ///
    /// As PyTorch's `AdamW`: decay first, then `p -= lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)`.
    ///
    /// # Panics
    /// If a table has a gradient in a row that was not caught up.
    pub fn step(
        &mut self,
        arena: &Arena,
        gradients: &GradientStore,
        (parts, weights): (&Parts, &[Vec<f32>]),
        factor: f64,
        scale: f32,
    ) -> Result<()> {
        self.steps += 1;
        let [b1, b2] = self.options.betas;
        let correction1 = 1.0 - b1.powf(self.steps as f64);
        let correction2 = (1.0 - b2.powf(self.steps as f64)).sqrt();
        let epsilon = self.options.epsilon;
        let numbers = |group: &Group| {
            let rate = group.learning_rate * factor;
            Numbers {
                b1: b1 as f32,
                b2: b2 as f32,
                decay: (1.0 - rate * group.weight_decay) as f32,
                step: (rate / correction1) as f32,
                correction2: correction2 as f32,
                epsilon: epsilon as f32,
                scale,
            }
        };
        let mut rows = gradients.lock();
        if let Some(device) = &mut self.device {
            let of_entry: Vec<usize> = self.groups.iter().map(|group| parts.of_entry(group.entry)).collect();
            let numbers: Vec<Numbers> = self.groups.iter().map(numbers).collect();
            let used = rows.used();
            let of_used = |weights: &Vec<f32>| used.iter().map(|&row| weights[row]).collect();
            let weights: Vec<Vec<f32>> = weights.iter().map(of_used).collect();
            let Some(rows) = &mut rows.device else { candle_core::bail!("gradients that are not on the device") };
            let step = DeviceStep { numbers: &numbers, parts: &of_entry, rows: &used, weights: &weights };
            return device.step(arena, rows, &step);
        }
        let (groups, tables, first, second) = (&self.groups, &mut self.tables, &mut self.first, &mut self.second);
        let (shared, heads) = (arena.shared_len(), arena.heads_start());
        let of_part = |weights: &Vec<f32>| rows.used().into_iter().map(|row| (row, weights[row])).collect();
        let used: Vec<Vec<(usize, f32)>> = weights.iter().map(of_part).collect();
        arena.update(|flat| {
            for group in groups.iter().filter(|group| group.offset < shared || group.offset >= heads) {
                let used = &used[parts.of_entry(group.entry)];
                let range = group.offset..group.offset + group.len;
                let numbers = numbers(group);
                flat[range.clone()]
                    .par_chunks_mut(CHUNK)
                    .zip(first[range.clone()].par_chunks_mut(CHUNK))
                    .zip(second[range].par_chunks_mut(CHUNK))
                    .enumerate()
                    .for_each(|(chunk, ((p, m), v))| {
                        let start = group.offset + chunk * CHUNK;
                        let own = start..start + p.len();
                        if start >= heads {
                            return update(p, m, v, &rows.heads[start - heads..][..own.len()], numbers);
                        }
                        let only = match used[..] {
                            [(row, 1.0)] => rows.shared[row].as_f32(own.clone()),
                            _ => None,
                        };
                        if let Some(gradient) = only {
                            return update(p, m, v, gradient, numbers);
                        }
                        let sources: Vec<_> = used.iter().map(|&(row, weight)| (&rows.shared[row], weight)).collect();
                        let mut sum = vec![0.0; own.len()];
                        add_weighted(&sources, own, &mut sum);
                        update(p, m, v, &sum, numbers);
                    });
            }
            for (index, state) in tables.iter_mut().enumerate() {
                let now = numbers(&state.group);
                let used = &used[parts.of_entry(state.group.entry)];
                let before = state.history.len() as u32;
                state.each_row([&mut *flat, &mut *first, &mut *second], |row, seen, [p, m, v], _| {
                    let of = |&(task, weight): &(usize, f32)| Some((rows.tables[task][index].row(row)?, weight));
                    let mut sources = used.iter().filter_map(of).peekable();
                    if sources.peek().is_some() {
                        assert_eq!(*seen, before, "row {row} of a table was read before it was caught up");
                        combine(sources, p.len(), |gradient| update(p, m, v, gradient, now));
                        *seen = before + 1;
                    }
                });
                state.history.push(now);
            }
        })
    }

    /// Does the updates that were put off in the tables' rows of these token ids. Call it before they are read.
    pub fn catch_up<'a>(&mut self, arena: &Arena, ids: impl IntoIterator<Item = &'a u32>) -> Result<()> {
        let mut wanted = vec![false; self.tables.iter().map(|state| state.table.entries).max().unwrap_or(0)];
        for &id in ids {
            // An id beyond the table is refused by the forward pass.
            if let Some(wanted) = wanted.get_mut(id as usize) {
                *wanted = true;
            }
        }
        self.put_off(arena, |row| wanted[row])
    }

    /// Does all updates that were put off. Call it before the parameters are read by anything but training.
    pub fn settle(&mut self, arena: &Arena) -> Result<()> {
        if self.tables.iter().any(|state| !state.history.is_empty()) {
            self.put_off(arena, |_| true)?;
            self.forget();
        }
        Ok(())
    }

    fn put_off(&mut self, arena: &Arena, wanted: impl Fn(usize) -> bool + Sync) -> Result<()> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let (tables, first, second) = (&mut self.tables, &mut self.first, &mut self.second);
        arena.update(|flat| {
            for state in tables {
                state.each_row([&mut *flat, &mut *first, &mut *second], |row, seen, [p, m, v], history| {
                    if !wanted(row) || *seen as usize == history.len() {
                        return;
                    }
                    // A row that no step has touched yet has no momentum.
                    let still = m.iter().chain(v.iter()).all(|&x| x == 0.0);
                    let zeros = vec![0.0; p.len()];
                    for numbers in &history[*seen as usize..] {
                        match still {
                            true => p.iter_mut().for_each(|p| *p *= numbers.decay),
                            false => update(p, m, v, &zeros, *numbers),
                        }
                    }
                    *seen = history.len() as u32;
                });
            }
        })
    }
}

impl TableState {
    /// Calls `f(row, steps seen, [parameters, first moments, second moments], history)` for each row, over all threads.
    fn each_row(
        &mut self,
        [flat, first, second]: [&mut [f32]; 3],
        f: impl Fn(usize, &mut u32, [&mut [f32]; 3], &[Numbers]) + Sync,
    ) {
        let Table { offset, entries, width } = self.table;
        let history = &self.history;
        let own = |values| -> &mut [f32] { cut(values, offset, entries * width) };
        let [flat, first, second] = [own(flat), own(first), own(second)];
        (self.seen.par_iter_mut())
            .zip(flat.par_chunks_exact_mut(width.max(1)))
            .zip(first.par_chunks_exact_mut(width.max(1)))
            .zip(second.par_chunks_exact_mut(width.max(1)))
            .enumerate()
            .with_min_len(256)
            .for_each(|(row, (((seen, p), m), v))| f(row, seen, [p, m, v], history));
    }
}

fn cut(values: &mut [f32], offset: usize, len: usize) -> &mut [f32] {
    &mut values[offset..offset + len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::{Owner, Recorder};
    use candle_core::Shape;
    use std::sync::Arc;

    const ENTRIES: usize = 40;
    const WIDTH: usize = 20;

    /// Parameters and moments of a table after steps on random rows; settled after the steps of which `settle` says so.
    fn train(owner: Owner, settle: impl Fn(u64) -> bool) -> [Vec<u32>; 3] {
        let values = (0..ENTRIES * WIDTH).map(|i| (i as f32 * 0.37).sin()).collect();
        let arena = Arena::new(vec![("table".into(), Shape::from((ENTRIES, WIDTH)), owner, values)]).unwrap();
        let (store, parts) = (Arc::new(GradientStore::new(&arena, 1)), Parts::whole(&arena));
        let slot = arena.entries()["table"].slot;
        let mut adam = AdamW::new(&arena, AdamWOptions { betas: [0.9, 0.999], epsilon: 1e-8 }, |_| (1e-2, 0.1));
        for step in 0..60u64 {
            // Some rows often, some seldom, some never.
            let ids: Vec<u32> = (0..6).map(|i| ((step * step * 7 + i * i * step + i) % 31) as u32).collect();
            adam.catch_up(&arena, &ids).unwrap();
            store.lock().clear();
            let gradient: Vec<f32> = (0..6 * WIDTH).map(|i| (i as f32 + step as f32 * 1.7).cos()).collect();
            Recorder::joint(&store, 6).record_rows(slot, &ids, &gradient, WIDTH);
            store.lock().finish().unwrap();
            adam.step(&arena, &store, (&parts, &[vec![1.0]]), 1.0 - step as f64 / 60.0, 0.5).unwrap();
            if settle(step) {
                adam.settle(&arena).unwrap();
            }
        }
        adam.settle(&arena).unwrap();
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
        [bits(&arena.snapshot().unwrap()), bits(&adam.first), bits(&adam.second)]
    }

    #[test]
    fn updates_that_were_put_off_have_the_bits_of_updates_in_time() {
        let in_time = train(Owner::Shared, |_| false);
        assert!(in_time == train(Owner::Table, |_| false), "settled once");
        assert!(in_time == train(Owner::Table, |_| true), "settled at every step");
        assert!(in_time == train(Owner::Table, |step| step % 13 == 5), "settled now and then");
    }
}
