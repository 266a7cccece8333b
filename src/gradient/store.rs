//! Where the backward pass leaves the gradients of parameters.

use super::{Arena, Owner, Slot, TableRows};
use std::ops::Range;
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
    pub shared: Vec<Vec<f32>>,
    /// Gradients of the tables, of each gradient row.
    pub tables: Vec<Vec<TableRows>>,
    /// Gradients of the heads' parameters.
    pub heads: Vec<f32>,
    /// Where the heads' parameters begin in the arena.
    heads_start: usize,
}

impl GradientStore {
    /// Zeroed rows for the parameters of an arena.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        let tables: Vec<_> = arena.tables().iter().map(|&table| TableRows::new(table)).collect();
        let inner = Rows {
            shared: vec![vec![0.0; arena.shared_len()]; rows],
            tables: vec![tables; rows],
            heads: vec![0.0; arena.len() - arena.heads_start()],
            heads_start: arena.heads_start(),
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
    /// Gradient of the parameter in `slot`, in row `row` if it is shared.
    ///
    /// # Panics
    /// If it is a table's.
    pub fn slice_mut(&mut self, slot: Slot, row: usize) -> &mut [f32] {
        match slot.owner {
            Owner::Shared => &mut self.shared[row][slot.offset..slot.offset + slot.len],
            Owner::Head => &mut self.heads[slot.offset - self.heads_start..][..slot.len],
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
        let mut all = self.shared[row].clone();
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

    /// Sets everything to zero.
    pub fn zero(&mut self) {
        use rayon::prelude::*;
        self.shared.iter_mut().for_each(|row| row.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0)));
        self.tables.iter_mut().flatten().for_each(TableRows::clear);
        self.heads.fill(0.0);
    }

    /// Euclidean norm of the joint gradient (row 0) and the heads' gradients together.
    pub fn norm(&self) -> f64 {
        use rayon::prelude::*;
        // Fixed chunks, added in order: the same bytes whatever the number of threads.
        let squares = |values: &[f32]| -> f64 {
            let partial: Vec<f64> = values.par_chunks(1 << 14).map(sum_of_squares).collect();
            partial.iter().sum()
        };
        let tables: f64 = self.tables[0].iter().map(|rows| squares(rows.values())).sum();
        (squares(&self.shared[0]) + tables + squares(&self.heads)).sqrt()
    }

    /// Offset in the arena of the first number that is NaN or infinite, and the number.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        self.whole(0).into_iter().enumerate().find(|(_, value)| !value.is_finite())
    }
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
    spans: Arc<[(usize, Range<usize>)]>,
}

impl Recorder {
    /// All `len` input rows belong to gradient row 0: the joint gradient.
    pub fn joint(store: &Arc<GradientStore>, len: usize) -> Self {
        Self::split(store, [(0, 0..len)])
    }

    /// Input rows by gradient row.
    pub fn split(store: &Arc<GradientStore>, spans: impl IntoIterator<Item = (usize, Range<usize>)>) -> Self {
        Self { store: store.clone(), spans: spans.into_iter().collect() }
    }

    /// Calls `add(input rows, gradient)` for every gradient row that the input has rows for; `add` adds.
    pub fn record(&self, slot: Slot, mut add: impl FnMut(Range<usize>, &mut [f32])) {
        let mut rows = self.store.lock();
        for (row, span) in self.spans.iter().filter(|(_, span)| !span.is_empty()) {
            add(span.clone(), rows.slice_mut(slot, *row));
        }
    }

    /// Input rows by gradient row.
    pub fn spans(&self) -> &[(usize, Range<usize>)] {
        &self.spans
    }

    /// Adds row `i` of `dy` `[_, width]` to row `indices[i]` of the gradient of a table `[_, width]`.
    pub fn record_rows(&self, slot: Slot, indices: &[u32], dy: &[f32], width: usize) {
        let mut rows = self.store.lock();
        for (row, span) in self.spans.iter() {
            let own = indices[span.clone()].iter().zip(dy[span.start * width..].chunks_exact(width));
            if slot.owner == Owner::Table {
                let tables = &mut rows.tables[*row];
                let Some(table) = tables.iter_mut().find(|rows| rows.table().offset == slot.offset) else { continue };
                own.for_each(|(&index, dy)| table.add(index as usize, dy));
            } else {
                let gradient = rows.slice_mut(slot, *row);
                for (&index, dy) in own {
                    let sums = gradient[index as usize * width..][..width].iter_mut();
                    sums.zip(dy).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }

    /// Adds numbers to the gradient of the parameter in `slot`, if it has one, in row `row`.
    pub fn add(&self, slot: Option<Slot>, row: usize, numbers: &[f32]) {
        let Some(slot) = slot else { return };
        let mut rows = self.store.lock();
        rows.slice_mut(slot, row).iter_mut().zip(numbers).for_each(|(sum, value)| *sum += value);
    }
}
