//! Which rows of an op's input belong to which gradient row.

use super::{Gradient, GradientStore, Owner, Slot};
use candle_core::{Result, Tensor};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says which rows of an op's input belong to which gradient row, and where the gradients go.
#[derive(Clone, Debug)]
pub struct Recorder {
    pub(super) store: Arc<GradientStore>,
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

    /// Calls `write(input rows, gradients)` once for all gradient rows that the input has rows for, to overwrite what is there and
    /// give the inner products of what it wrote, `[i][j]` for `j <= i`. Whether it was called: only if there are several, one span
    /// each, and nothing was recorded yet for this parameter.
    pub(crate) fn record_together(
        &self,
        slot: Slot,
        write: impl FnOnce(&[Range<usize>], Vec<Gradient>) -> Vec<Vec<f64>>,
    ) -> bool {
        let spans = self.spans().into_iter().filter(|(_, span)| !span.is_empty());
        let (rows, spans): (Vec<usize>, Vec<Range<usize>>) = spans.unzip();
        rows.len() > 1 && self.store.lock().write_together(slot, &rows, |gradients| write(&spans, gradients))
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

    /// As [`Recorder::add`], with the numbers of a tensor, wherever it and the store are.
    ///
    /// # Errors
    /// If the numbers cannot be copied.
    pub fn add_tensor(&self, slot: Option<Slot>, row: usize, numbers: &Tensor) -> Result<()> {
        match (slot, !self.store.device().is_cuda()) {
            (None, _) => Ok(()),
            (_, true) => {
                self.add(slot, row, &numbers.flatten_all()?.to_vec1()?);
                Ok(())
            }
            (Some(slot), false) => self.add_on_device(slot, row, numbers),
        }
    }

    /// As [`Recorder::record_rows`], with `dy` a tensor, wherever it and the store are.
    ///
    /// # Errors
    /// If the numbers cannot be copied.
    pub fn record_rows_of(&self, slot: Slot, indices: &[u32], dy: &Tensor) -> Result<()> {
        if self.store.device().is_cuda() {
            return self.record_rows_tensor(slot, indices, dy);
        }
        self.record_rows(slot, indices, &dy.flatten_all()?.to_vec1::<f32>()?, dy.dim(1)?);
        Ok(())
    }
}
