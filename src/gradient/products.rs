//! Inner products of a parameter's gradients that were taken while the gradients were written.

use super::{Gradient, Owner, Rows, Slot};
use std::ops::Range;

/// Inner products of what one parameter has in several gradient rows.
#[derive(Clone, Debug)]
pub(super) struct KnownProducts {
    rows: Vec<usize>,
    /// `[i][j]` for `j <= i`, places in `rows`.
    of: Vec<Vec<f64>>,
}

impl KnownProducts {
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows
    }

    pub(super) fn of(&self, i: usize, j: usize) -> f64 {
        self.of[i][j]
    }
}

impl Rows {
    /// Lets `write` overwrite the gradients of the parameter in `slot` in these rows, and takes note of the inner products that it
    /// gives. Whether it was called: only if the rows differ, and no row of the parameter holds anything yet.
    pub(super) fn write_together(
        &mut self,
        slot: Slot,
        rows: &[usize],
        write: impl FnOnce(Vec<Gradient>) -> Vec<Vec<f64>>,
    ) -> bool {
        let differ = rows.iter().enumerate().all(|(i, row)| !rows[..i].contains(row));
        if slot.owner != Owner::Shared || !differ || self.written.iter().any(|row| row[slot.index]) {
            return false;
        }
        for &row in rows {
            self.mark(slot, row);
        }
        let range = slot.offset..slot.offset + slot.len;
        let mut gradients: Vec<_> = self.shared.iter_mut().map(|row| Some(row.part(range.clone()))).collect();
        let of = write(rows.iter().map(|&row| gradients[row].take().expect("rows differ")).collect());
        self.products[slot.index] = Some(KnownProducts { rows: rows.to_vec(), of });
        true
    }

    /// The products of parameters in a range of the shared ones, as far as they are known: the other rows that were used are zero
    /// there.
    pub(super) fn known_products(&self, range: &Range<usize>) -> impl Iterator<Item = &KnownProducts> {
        self.known_slots(range).filter_map(|slot| self.products[slot.index].as_ref())
    }

    /// What is left of the range.
    pub(super) fn unknown_products(&self, range: &Range<usize>) -> Vec<Range<usize>> {
        let mut left = Vec::new();
        let mut start = range.start;
        for slot in self.known_slots(range) {
            left.push(start..slot.offset);
            start = slot.offset + slot.len;
        }
        left.push(start..range.end);
        left.retain(|range| !range.is_empty());
        left
    }

    fn known_slots(&self, range: &Range<usize>) -> impl Iterator<Item = &Slot> {
        let known = |slot: &&Slot| slot.owner == Owner::Shared && self.products[slot.index].is_some();
        self.slots.iter().filter(known).filter(move |slot| range.contains(&slot.offset))
    }

    /// Forgets all products: the gradients are no longer what they were.
    pub(super) fn forget_products(&mut self) {
        self.products.fill(None);
    }
}
