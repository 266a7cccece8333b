//! Where the backward pass leaves the gradients of parameters.

use super::{Arena, Gradient, Owner, Row, Slot, TableRows};
use half::bf16;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Gradient rows of the shared parameters (one for the joint gradient, or one a task), and one row of the heads'
/// parameters, which belong to one task each.
#[derive(Debug)]
pub struct GradientStore {
    inner: Mutex<Rows>,
}

/// The numbers of a [`GradientStore`].
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
    /// Entries of the arena that are no tables.
    slots: Vec<Slot>,
    /// Of each gradient row and entry, whether it was written since the last [`Rows::clear`]; heads' entries in row 0.
    written: Vec<Vec<bool>>,
    /// Of each gradient row, whether anything was.
    pub(super) used: Vec<bool>,
}

impl GradientStore {
    /// Zeroed rows in f32 for the parameters of an arena.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self::of(arena, vec![Row::F32(vec![0.0; arena.shared_len()]); rows])
    }

    /// The same in bf16. Tables' and heads' gradients stay in f32.
    pub fn in_bf16(arena: &Arena, rows: usize) -> Self {
        Self::of(arena, vec![Row::Bf16(vec![bf16::ZERO; arena.shared_len()]); rows])
    }

    /// The same, but the first row in f32: the one that most steps follow.
    pub fn in_bf16_but_first(arena: &Arena, rows: usize) -> Self {
        let row = |row: usize| match row {
            0 => Row::F32(vec![0.0; arena.shared_len()]),
            _ => Row::Bf16(vec![bf16::ZERO; arena.shared_len()]),
        };
        Self::of(arena, (0..rows).map(row).collect())
    }

    fn of(arena: &Arena, shared: Vec<Row>) -> Self {
        let rows = shared.len();
        let tables: Vec<_> = arena.tables().iter().map(|&table| TableRows::new(table)).collect();
        let inner = Rows {
            shared,
            tables: vec![tables; rows],
            heads: vec![0.0; arena.len() - arena.heads_start()],
            heads_start: arena.heads_start(),
            slots: arena.entries().values().map(|entry| entry.slot).filter(|slot| slot.owner != Owner::Table).collect(),
            written: vec![vec![false; arena.entries().len()]; rows],
            used: vec![false; rows],
        };
        Self { inner: Mutex::new(inner) }
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
    fn entry(&mut self, slot: Slot, row: usize) -> (Gradient<'_>, bool) {
        let row_of_mark = if slot.owner == Owner::Head { 0 } else { row };
        let keep = std::mem::replace(&mut self.written[row_of_mark][slot.index], true);
        self.used[row] = true;
        (self.numbers(slot, row), keep)
    }

    fn numbers(&mut self, slot: Slot, row: usize) -> Gradient<'_> {
        match slot.owner {
            Owner::Shared => self.shared[row].part(slot.offset..slot.offset + slot.len),
            Owner::Head => Gradient::F32(&mut self.heads[slot.offset - self.heads_start..][..slot.len]),
            Owner::Table => panic!("a table's gradient is kept by row"),
        }
    }

    /// A copy of the gradient of the parameter in `slot`, in row `row` if it is shared; zeros where no table row was
    /// touched.
    pub fn gradient(&self, slot: Slot, row: usize) -> Vec<f32> {
        self.whole(row)[slot.offset..slot.offset + slot.len].to_vec()
    }

    /// A copy of gradient row `row` and the heads' gradients, as long as the arena.
    pub fn whole(&self, row: usize) -> Vec<f32> {
        let shared = &self.shared[row];
        let mut all = vec![0.0; shared.len()];
        if self.used[row] {
            shared.copy(0..shared.len(), &mut all);
        }
        all.resize(self.heads_start, 0.0);
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
    }

    /// Sets to zero what no backward pass has written since [`Rows::clear`]. Needed before gradients are read.
    pub fn finish(&mut self) {
        for slot in self.slots.clone() {
            let head = slot.owner == Owner::Head;
            for row in 0..if head { 1 } else { self.shared.len() } {
                if (head || self.used[row]) && !self.written[row][slot.index] {
                    self.numbers(slot, row).clear();
                    self.written[row][slot.index] = true;
                }
            }
        }
    }

    /// The gradient rows that a backward pass has written to, ascending; the others are zero.
    pub fn used(&self) -> Vec<usize> {
        (0..self.used.len()).filter(|&row| self.used[row]).collect()
    }

    /// Multiplies the gradient of the heads' parameter in `slot`.
    ///
    /// # Panics
    /// If it is no head's.
    pub fn scale_head(&mut self, slot: Slot, factor: f64) {
        let own = &mut self.heads[slot.offset - self.heads_start..][..slot.len];
        own.iter_mut().for_each(|value| *value *= factor as f32);
    }

    /// Squared Euclidean norm of the heads' gradients.
    pub fn heads_square(&self) -> f64 {
        squares(&self.heads)
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
    pulp::Arch::new().dispatch(
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

/// Says which rows of an op's input belong to which gradient row, and where the gradients go.
#[derive(Clone, Debug)]
pub struct Recorder {
    store: Arc<GradientStore>,
    /// Shared by the recorders of all ops over the same rows.
    spans: Arc<[Span]>,
}

/// Some rows of an op's input, and the gradient row of the next backward pass over them.
#[derive(Debug)]
struct Span {
    inputs: Range<usize>,
    row: AtomicUsize,
}

impl Recorder {
    /// All `len` input rows belong to gradient row 0: the joint gradient.
    pub fn joint(store: &Arc<GradientStore>, len: usize) -> Self {
        Self::split(store, [(0, 0..len)])
    }

    /// Input rows by gradient row.
    pub fn split(store: &Arc<GradientStore>, spans: impl IntoIterator<Item = (usize, Range<usize>)>) -> Self {
        let span = |(row, inputs)| Span { inputs, row: AtomicUsize::new(row) };
        Self { store: store.clone(), spans: spans.into_iter().map(span).collect() }
    }

    /// Sends what later backward passes find for the input rows of span `span` to gradient row `row`.
    pub fn direct(&self, span: usize, row: usize) {
        self.spans[span].row.store(row, Ordering::Relaxed);
    }

    /// Input rows by gradient row.
    pub fn spans(&self) -> Vec<(usize, Range<usize>)> {
        self.spans.iter().map(|span| (span.row.load(Ordering::Relaxed), span.inputs.clone())).collect()
    }

    /// Calls `add(input rows, gradient, keep)` for every gradient row that the input has rows for; `add` adds if `keep`,
    /// and overwrites what is there if not.
    pub fn record(&self, slot: Slot, mut add: impl FnMut(Range<usize>, Gradient, bool)) {
        let mut rows = self.store.lock();
        for (row, span) in self.spans().into_iter().filter(|(_, span)| !span.is_empty()) {
            let (gradient, keep) = rows.entry(slot, row);
            add(span, gradient, keep);
        }
    }

    /// As [`Recorder::record`], for an `add` that always adds.
    pub fn record_sums(&self, slot: Slot, mut add: impl FnMut(Range<usize>, &mut [f32])) {
        self.record(slot, |rows, gradient, keep| gradient.update(keep, |sums| add(rows, sums)));
    }

    /// Adds row `i` of `dy` `[_, width]` to row `indices[i]` of the gradient of a table `[_, width]`.
    pub fn record_rows(&self, slot: Slot, indices: &[u32], dy: &[f32], width: usize) {
        let mut rows = self.store.lock();
        for (row, span) in self.spans() {
            let own = indices[span.clone()].iter().zip(dy[span.start * width..].chunks_exact(width));
            if slot.owner == Owner::Table {
                rows.used[row] = true;
                let tables = &mut rows.tables[row];
                let Some(table) = tables.iter_mut().find(|rows| rows.table().offset == slot.offset) else { continue };
                own.for_each(|(&index, dy)| table.add(index as usize, dy));
            } else {
                let (gradient, keep) = rows.entry(slot, row);
                gradient.update(keep, |gradient| {
                    for (&index, dy) in own {
                        let sums = gradient[index as usize * width..][..width].iter_mut();
                        sums.zip(dy).for_each(|(sum, value)| *sum += value);
                    }
                });
            }
        }
    }

    /// Adds numbers to the gradient of the parameter in `slot`, if it has one, in row `row`.
    pub fn add(&self, slot: Option<Slot>, row: usize, numbers: &[f32]) {
        let Some(slot) = slot else { return };
        let mut rows = self.store.lock();
        let (gradient, keep) = rows.entry(slot, row);
        gradient.update(keep, |sums| sums.iter_mut().zip(numbers).for_each(|(sum, value)| *sum += value));
    }
}
