//! Gradients of several ranks added up.

use super::{Row, Rows};
use crate::collective::Collective;
use crate::error::Result;
use half::bf16;

/// Numbers in bf16 that are widened and summed at a time.
const CHUNK: usize = 1 << 20;

impl Rows {
    /// Takes note that a backward pass on some rank writes to gradient row `row`, and to these entries of the tables in it:
    /// what this rank does not write of it is zero. So all ranks have the same rows and entries, in the same order.
    pub fn expect(&mut self, row: usize, entries: &[u32]) {
        self.used[row] = true;
        match &mut self.device {
            Some(device) => device.expect(entries),
            None => self.tables[row].iter_mut().for_each(|table| table.expect(entries)),
        }
    }

    /// Replaces the gradients by their sums over the ranks, all of which have expected what the others wrote. Comes after
    /// [`Rows::finish`].
    ///
    /// # Errors
    /// If a rank is gone, or the device fails.
    pub fn reduce(&mut self, ranks: &dyn Collective) -> Result<()> {
        self.forget_products();
        let used = self.used();
        if let Some(device) = &mut self.device {
            return device.reduce(&used, ranks);
        }
        for row in used {
            match &mut self.shared[row] {
                Row::F32(numbers) => ranks.sum(numbers)?,
                Row::Bf16(numbers) => sum_bf16(numbers, ranks)?,
            }
            for table in &mut self.tables[row] {
                ranks.sum(table.values_mut())?;
            }
        }
        ranks.sum(&mut self.heads)
    }
}

/// Sums in f32, rounded once.
fn sum_bf16(numbers: &mut [bf16], ranks: &dyn Collective) -> Result<()> {
    let mut wide = vec![0.0; numbers.len().min(CHUNK)];
    for numbers in numbers.chunks_mut(CHUNK) {
        let wide = &mut wide[..numbers.len()];
        wide.iter_mut().zip(&*numbers).for_each(|(wide, number)| *wide = number.to_f32());
        ranks.sum(wide)?;
        numbers.iter_mut().zip(&*wide).for_each(|(number, wide)| *number = bf16::from_f32(*wide));
    }
    Ok(())
}
