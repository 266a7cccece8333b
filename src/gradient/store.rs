//! Where the backward pass leaves the gradients of parameters.

use super::{Owner, Slot};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// Flat gradient rows: `rows` of the shared parameters (one for the joint gradient, or one a task), and one of the
/// heads' parameters, which belong to one task each.
#[derive(Debug)]
pub struct GradientStore {
    inner: Mutex<Rows>,
}

/// The numbers of a [`GradientStore`].
#[derive(Debug)]
pub struct Rows {
    /// Gradient rows of the shared parameters, each as long as the shared part of the arena.
    pub shared: Vec<Vec<f32>>,
    /// Gradients of the heads' parameters.
    pub heads: Vec<f32>,
}

impl GradientStore {
    /// Zeroed rows for an arena of `len` numbers of which the first `shared_len` are shared.
    pub fn new(len: usize, shared_len: usize, rows: usize) -> Self {
        let inner = Rows { shared: vec![vec![0.0; shared_len]; rows], heads: vec![0.0; len - shared_len] };
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
    pub fn slice_mut(&mut self, slot: Slot, row: usize) -> &mut [f32] {
        match slot.owner {
            Owner::Shared => &mut self.shared[row][slot.offset..slot.offset + slot.len],
            Owner::Head => {
                let shared = self.shared[0].len();
                &mut self.heads[slot.offset - shared..slot.offset - shared + slot.len]
            }
        }
    }

    /// Sets everything to zero.
    pub fn zero(&mut self) {
        use rayon::prelude::*;
        self.shared.iter_mut().for_each(|row| row.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0)));
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
        (squares(&self.shared[0]) + squares(&self.heads)).sqrt()
    }

    /// Offset in the arena of the first number that is NaN or infinite.
    pub fn first_non_finite(&self) -> Option<usize> {
        let shared = self.shared[0].iter().chain(&self.heads);
        shared.enumerate().find(|(_, value)| !value.is_finite()).map(|(offset, _)| offset)
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

    /// Adds numbers to the gradient of the parameter in `slot`, if it has one, in row `row`.
    pub fn add(&self, slot: Option<Slot>, row: usize, numbers: &[f32]) {
        let Some(slot) = slot else { return };
        let mut rows = self.store.lock();
        rows.slice_mut(slot, row).iter_mut().zip(numbers).for_each(|(sum, value)| *sum += value);
    }

    /// Calls `add` with the gradient of the parameter in `slot`, if it has one, in row `row`.
    pub fn with(&self, slot: Option<Slot>, row: usize, add: impl FnOnce(&mut [f32])) {
        let Some(slot) = slot else { return };
        add(self.store.lock().slice_mut(slot, row));
    }
}
