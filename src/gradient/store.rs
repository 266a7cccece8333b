//! Where the backward pass leaves the gradients of parameters.

use super::cuda::DeviceRows;
use super::products::KnownProducts;
use super::{Aligned, Arena, Gradient, Owner, Parts, Row, Slot, TableRows};
use crate::simd::simd;
use candle_core::{Device, Result};
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard};

/// Gradient rows of the shared parameters (one for the joint gradient, or one a task), and one row of the heads'
/// parameters, which belong to one task each. They are where the arena is.
#[derive(Debug)]
pub struct GradientStore {
    inner: Mutex<Rows>,
    device: Device,
}

/// The numbers of a [`GradientStore`].
///
/// Those on a device are read and changed there by what most steps need. [`Rows::fetch`] brings them into the fields here,
/// [`Rows::send`] puts them back.
#[derive(Debug)]
pub struct Rows {
    /// Flat gradient rows of the shared parameters that are no tables.
    pub shared: Vec<Row>,
    /// Gradients of the tables, of each gradient row.
    pub tables: Vec<Vec<TableRows>>,
    /// Gradients of the heads' parameters.
    pub heads: Vec<f32>,
    /// Where the heads' parameters begin in the arena.
    heads_start: usize,
    /// Entries of the arena that are no tables, by offset.
    pub(super) slots: Vec<Slot>,
    /// Of each gradient row and entry, whether it was written since the last [`Rows::clear`]; heads' entries in row 0.
    pub(super) written: Vec<Vec<bool>>,
    /// Of each entry, inner products of its gradients, if they were taken as they were written.
    pub(super) products: Vec<Option<KnownProducts>>,
    /// Of each gradient row, whether anything was.
    pub(super) used: Vec<bool>,
    /// The numbers, if they are on a device.
    pub(super) device: Option<DeviceRows>,
    /// Whether those of a device are in the fields here.
    pub(super) fetched: bool,
}

/// What a step measures of its gradients.
pub struct Measures {
    /// Inner products of the gradient rows by part, as [`Rows::gramians`] gives them.
    pub gramians: Vec<Vec<Vec<f64>>>,
    /// Squared Euclidean norm of the heads' gradients.
    pub heads_square: f64,
}

impl GradientStore {
    /// Zeroed rows in f32 for the parameters of an arena.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self::of(arena, rows, |_| false)
    }

    /// The same in bf16. Tables' and heads' gradients stay in f32.
    pub fn in_bf16(arena: &Arena, rows: usize) -> Self {
        Self::of(arena, rows, |_| true)
    }

    /// The same, but the first row in f32: the one that most steps follow.
    pub fn in_bf16_but_first(arena: &Arena, rows: usize) -> Self {
        Self::of(arena, rows, |row| row > 0)
    }

    fn of(arena: &Arena, rows: usize, in_bf16: impl Fn(usize) -> bool) -> Self {
        let device = DeviceRows::new(arena, (0..rows).map(&in_bf16).collect());
        // What is on a device takes no memory here until it is fetched.
        let (shared, heads) = match device {
            Some(_) => (0, 0),
            None => (arena.shared_len(), arena.len() - arena.heads_start()),
        };
        let row = |row: usize| match in_bf16(row) {
            true => Row::Bf16(Aligned::zeros(shared)),
            false => Row::F32(vec![0.0; shared]),
        };
        let tables: Vec<_> = arena.tables().iter().map(|&table| TableRows::new(table)).collect();
        let inner = Rows {
            shared: (0..rows).map(row).collect(),
            tables: vec![tables; rows],
            heads: vec![0.0; heads],
            heads_start: arena.heads_start(),
            slots: arena.entries().values().map(|entry| entry.slot).filter(|slot| slot.owner != Owner::Table).collect(),
            written: vec![vec![false; arena.entries().len()]; rows],
            products: vec![None; arena.entries().len()],
            used: vec![false; rows],
            device,
            fetched: false,
        };
        Self { inner: Mutex::new(inner), device: arena.device().clone() }
    }

    /// Where the numbers are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Exclusive access to the numbers.
    pub fn lock(&self) -> MutexGuard<'_, Rows> {
        self.inner.lock().expect("never poisoned: kernels do not panic")
    }

    /// Number of gradient rows of the shared parameters.
    pub fn row_count(&self) -> usize {
        self.lock().shared.len()
    }
}

impl Rows {
    /// Gradient of the parameter in `slot`, in row `row` if it is shared, to be written or added to; whether it holds
    /// anything yet.
    ///
    /// # Panics
    /// If it is a table's.
    pub(super) fn entry(&mut self, slot: Slot, row: usize) -> (Gradient<'_>, bool) {
        let keep = self.mark(slot, row);
        (self.numbers(slot, row), keep)
    }

    /// Takes note that the gradient of `slot` in row `row` is written; whether it holds anything yet.
    pub(super) fn mark(&mut self, slot: Slot, row: usize) -> bool {
        let row_of_mark = if slot.owner == Owner::Head { 0 } else { row };
        self.used[row] = true;
        self.products[slot.index] = None;
        std::mem::replace(&mut self.written[row_of_mark][slot.index], true)
    }

    fn numbers(&mut self, slot: Slot, row: usize) -> Gradient<'_> {
        match slot.owner {
            Owner::Shared => self.shared[row].part(slot.offset..slot.offset + slot.len),
            Owner::Head => Gradient::F32(&mut self.heads[slot.offset - self.heads_start..][..slot.len]),
            Owner::Table => panic!("a table's gradient is kept by row"),
        }
    }

    /// A copy of the gradient, fetched if it was on a device, of the parameter in `slot`, in row `row` if it is shared; zeros where no table row was
    /// touched.
    pub fn gradient(&self, slot: Slot, row: usize) -> Vec<f32> {
        self.whole(row)[slot.offset..slot.offset + slot.len].to_vec()
    }

    /// A copy of gradient row `row` and the heads' gradients, as long as the arena.
    pub fn whole(&self, row: usize) -> Vec<f32> {
        let shared = &self.shared[row];
        let mut all = vec![0.0; self.heads_start];
        if self.used[row] {
            shared.copy(0..shared.len(), &mut all[..shared.len()]);
        }
        for rows in &self.tables[row] {
            let table = rows.table();
            for &touched in rows.touched() {
                let numbers = rows.row(touched as usize).expect("touched");
                all[table.offset + touched as usize * table.width..][..table.width].copy_from_slice(numbers);
            }
        }
        all.extend_from_slice(&self.heads);
        all
    }

    /// Forgets all gradients. What a backward pass then writes first is not read before: numbers stay stale until
    /// [`Rows::finish`].
    pub fn clear(&mut self) {
        self.tables.iter_mut().flatten().for_each(TableRows::clear);
        self.written.iter_mut().for_each(|row| row.fill(false));
        self.used.fill(false);
        self.forget_products();
        self.fetched = false;
        if let Some(device) = &mut self.device {
            device.clear();
        }
    }

    /// Sets to zero what no backward pass has written since [`Rows::clear`]. Needed before gradients are read.
    ///
    /// # Errors
    /// If the device fails.
    pub fn finish(&mut self) -> Result<()> {
        for slot in self.slots.clone() {
            let head = slot.owner == Owner::Head;
            for row in 0..if head { 1 } else { self.shared.len() } {
                if (head || self.used[row]) && !self.written[row][slot.index] {
                    match &mut self.device {
                        Some(device) => device.clear_slot(slot, row)?,
                        None => self.numbers(slot, row).clear(),
                    }
                    self.written[row][slot.index] = true;
                }
            }
        }
        let used = self.used();
        self.device.as_mut().map_or(Ok(()), |device| device.fill(&used))
    }

    /// The device that has the numbers, unless they were fetched.
    fn away(&self) -> Option<&DeviceRows> {
        self.device.as_ref().filter(|_| !self.fetched)
    }

    /// Brings the numbers into the fields of this struct, if they are not there anyway.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn fetch(&mut self) -> Result<()> {
        let used = self.used();
        let Some(device) = self.device.as_mut().filter(|_| !self.fetched) else { return Ok(()) };
        for row in used {
            device.fetch(row, &mut self.shared[row], &mut self.tables[row])?;
        }
        self.heads = device.heads()?;
        self.fetched = true;
        Ok(())
    }

    /// Puts fetched numbers back, changed or not. The fields stay what they are until [`Rows::clear`].
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn send(&mut self) -> Result<()> {
        let used = self.used();
        let Some(device) = self.device.as_mut().filter(|_| self.fetched) else { return Ok(()) };
        device.clear();
        for &row in &used {
            device.send(row, &self.shared[row], &self.tables[row])?;
        }
        device.fill(&used)?;
        device.set_heads(&self.heads)?;
        self.fetched = false;
        Ok(())
    }

    /// What a step measures: on a device one copy of few numbers.
    ///
    /// # Errors
    /// If the device fails.
    pub fn measure(&self, parts: &Parts) -> Result<Measures> {
        match self.away() {
            Some(device) => device.measure(parts, &self.used()),
            None => Ok(Measures { gramians: self.gramians(parts), heads_square: squares(&self.heads) }),
        }
    }

    /// Squared Euclidean norm of the heads' gradients.
    ///
    /// # Errors
    /// If the device fails.
    pub fn heads_square(&self, parts: &Parts) -> Result<f64> {
        match self.away() {
            Some(device) => Ok(device.measure(parts, &self.used())?.heads_square),
            None => Ok(squares(&self.heads)),
        }
    }

    /// The gradient rows that a backward pass has written to, ascending; the others are zero.
    pub fn used(&self) -> Vec<usize> {
        (0..self.used.len()).filter(|&row| self.used[row]).collect()
    }

    /// Multiplies all gradients, which are on a device.
    ///
    /// # Errors
    /// If the device fails, or they are not on one.
    pub fn scale(&mut self, factor: f32) -> Result<()> {
        let used = self.used();
        match self.device.as_mut().filter(|_| !self.fetched) {
            Some(device) => device.scale(&used, factor),
            None => candle_core::bail!("gradients are scaled on a device only"),
        }
    }

    /// Multiplies the gradient of the heads' parameter in `slot`.
    ///
    /// # Errors
    /// If the device fails.
    ///
    /// # Panics
    /// If it is no head's.
    pub fn scale_head(&mut self, slot: Slot, factor: f64) -> Result<()> {
        if let Some(device) = self.device.as_mut().filter(|_| !self.fetched) {
            return device.scale_head(slot, factor as f32);
        }
        let own = &mut self.heads[slot.offset - self.heads_start..][..slot.len];
        own.iter_mut().for_each(|value| *value *= factor as f32);
        Ok(())
    }

    /// A copy of the heads' gradients.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn copy_heads(&self) -> Result<Vec<f32>> {
        self.away().map_or_else(|| Ok(self.heads.clone()), DeviceRows::heads)
    }

    /// Replaces the heads' gradients.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub fn set_heads(&mut self, heads: Vec<f32>) -> Result<()> {
        match self.device.as_mut().filter(|_| !self.fetched) {
            Some(device) => device.set_heads(&heads),
            None => {
                self.heads = heads;
                Ok(())
            }
        }
    }

    /// Offset in the arena of the first number that is NaN or infinite in any row, and the number.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        let first = |row| self.whole(row).into_iter().enumerate().find(|(_, value)| !value.is_finite());
        (0..self.shared.len()).filter(|&row| row == 0 || self.used[row]).find_map(first)
    }
}

/// Numbers of one chunk of a sum. Fixed, and chunks added in order: the same bytes whatever the number of threads.
const CHUNK: usize = 1 << 14;

pub(super) fn squares(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares).collect();
    partial.iter().sum()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    simd(
        #[inline(always)]
        || {
            let mut lanes = [0.0f64; 16];
            let (blocks, rest) = values.as_chunks::<16>();
            for block in blocks {
                lanes.iter_mut().zip(block).for_each(|(lane, &value)| *lane += f64::from(value) * f64::from(value));
            }
            lanes.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>()
        },
    )
}
