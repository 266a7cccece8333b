//! The gradient of a table, of which a step touches few rows.

use super::Table;

/// Marks a row of the table that has no gradient.
const ABSENT: u32 = u32::MAX;

/// Gradient rows of one table, those that were touched.
#[derive(Clone, Debug)]
pub struct TableRows {
    table: Table,
    /// Place in `values` of each of the table's rows.
    place: Vec<u32>,
    /// Rows in the order in which they were touched.
    touched: Vec<u32>,
    values: Vec<f32>,
}

impl TableRows {
    pub(super) fn new(table: Table) -> Self {
        Self { table, place: vec![ABSENT; table.entries], touched: Vec::new(), values: Vec::new() }
    }

    /// Where the table lies.
    pub fn table(&self) -> Table {
        self.table
    }

    /// The gradient of a row; `None` if it is zero because nothing touched it.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        let place = self.place[row];
        (place != ABSENT).then(|| &self.values[place as usize * self.table.width..][..self.table.width])
    }

    /// The touched rows, each once, in the order in which they were touched.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// The numbers of all touched rows.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Inner product with another gradient of the same table.
    pub(super) fn dot(&self, other: &Self) -> f64 {
        let width = self.table.width.max(1);
        let rows = self.touched.iter().zip(self.values.chunks_exact(width));
        rows.filter_map(|(&row, own)| Some(super::gramian::dot(own, other.row(row as usize)?))).sum()
    }

    pub(super) fn add(&mut self, row: usize, numbers: &[f32]) {
        let width = self.table.width;
        let place = self.touch(row);
        let own = &mut self.values[place * width..][..width];
        own.iter_mut().zip(numbers).for_each(|(sum, value)| *sum += value);
    }

    /// Touches rows, which are zero until something is added.
    pub(super) fn expect(&mut self, rows: &[u32]) {
        // What lies beyond the table, the forward pass refuses.
        let entries = self.place.len();
        rows.iter().map(|&row| row as usize).filter(|&row| row < entries).for_each(|row| {
            self.touch(row);
        });
    }

    /// Where a row is among the touched ones; zeros if it was not.
    fn touch(&mut self, row: usize) -> usize {
        if self.place[row] == ABSENT {
            self.place[row] = self.touched.len() as u32;
            self.touched.push(row as u32);
            self.values.resize(self.values.len() + self.table.width, 0.0);
        }
        self.place[row] as usize
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    pub(super) fn scale(&mut self, factor: f32) {
        self.values.iter_mut().for_each(|value| *value *= factor);
    }

    pub(super) fn clear(&mut self) {
        self.touched.iter().for_each(|&row| self.place[row as usize] = ABSENT);
        self.touched.clear();
        self.values.clear();
    }
}
