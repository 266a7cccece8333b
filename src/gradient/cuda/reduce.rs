//! Gradients of several ranks added up, from card to card.

use super::DeviceRows;
use super::rows::DeviceRow;
use crate::collective::Collective;
use crate::error::Result;

impl DeviceRows {
    /// Gives entries of the tables a place, the same on all ranks that ask in the same order. A row has zeros where nothing
    /// was written.
    pub fn expect(&mut self, entries: &[u32]) {
        self.tables.iter_mut().for_each(|table| table.expect(entries));
    }

    /// Replaces the numbers of some rows, which were filled, and of the heads by their sums over the ranks. Queued on the
    /// device's stream: what comes after sees the sums.
    pub fn reduce(&mut self, used: &[usize], ranks: &dyn Collective) -> Result<()> {
        for &row in used {
            match &mut self.shared[row] {
                DeviceRow::F32(Some(numbers)) => ranks.sum_f32_on_device(&mut numbers.as_view_mut())?,
                DeviceRow::Bf16(Some(numbers)) => ranks.sum_bf16_on_device(&mut numbers.as_view_mut())?,
                // There are no shared parameters beside tables.
                DeviceRow::F32(None) | DeviceRow::Bf16(None) => {}
            }
            for table in &mut self.tables {
                if table.len() > 0 {
                    ranks.sum_f32_on_device(&mut table.filled(row)?)?;
                }
            }
        }
        match self.heads_mut() {
            Some(heads) => ranks.sum_f32_on_device(&mut heads.as_view_mut()),
            None => Ok(()),
        }
    }
}
