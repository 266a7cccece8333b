//! The Gramian of gradient rows on the device, and the norm of the heads' gradients: one copy to the host for both.

use super::super::{Measures, Parts};
use super::kernels::{File, blocks, kernel};
use super::{DeviceRows, upload};
use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, PushKernelArg};

/// Blocks that a sum is divided over. Fixed, so that sums do not depend on the card.
const BLOCKS: usize = 512;
/// Numbers that a block takes at a time at least; as in gramian.cu.
const ROOM: usize = 10240;
const THREADS: u32 = 256;

/// Rows on the device whose products are wanted.
struct Sources {
    addresses: CudaSlice<u64>,
    in_bf16: CudaSlice<i32>,
    count: usize,
}

impl DeviceRows {
    /// Makes places that only other rows touched count as zero. Needed before rows are read.
    pub fn fill(&mut self, used: &[usize]) -> Result<()> {
        for table in &mut self.tables {
            used.iter().try_for_each(|&row| table.filled(row).map(|_| ()))?;
        }
        Ok(())
    }

    /// What a step measures of the rows in `used`, which were filled.
    pub fn measure(&self, parts: &Parts, used: &[usize]) -> Result<Measures> {
        let (count, all) = (used.len(), self.shared.len());
        let square = count * count;
        let ranges = parts.ranges();
        // Products by range, then by table, then the heads' norm.
        let mut out = self.device.alloc_zeros::<f64>((ranges.len() + self.tables.len()) * square + 1)?;
        if count > 0 {
            let (addresses, in_bf16) = self.addresses(used)?;
            let rows = Sources { addresses, in_bf16, count };
            for (index, (_, range)) in ranges.iter().enumerate() {
                self.products(&rows, range.start, range.len(), &mut out, index * square)?;
            }
            for (index, table) in self.tables.iter().enumerate() {
                let rows = Sources {
                    addresses: table.addresses(used)?,
                    in_bf16: upload(&self.device, &vec![0i32; count])?,
                    count,
                };
                self.products(&rows, 0, table.len(), &mut out, (ranges.len() + index) * square)?;
            }
        }
        if let Some(heads) = self.heads_buffer() {
            let rows = Sources {
                addresses: upload(&self.device, &[super::address(heads)])?,
                in_bf16: upload(&self.device, &[0i32])?,
                count: 1,
            };
            let at = out.len() - 1;
            self.products(&rows, 0, heads.len(), &mut out, at)?;
        }
        let numbers = self.device.clone_dtoh(&out)?;
        let (products, heads_square) = numbers.split_at(numbers.len() - 1);
        let mut gramians = vec![vec![vec![0.0; all]; all]; parts.count()];
        let parts = ranges.iter().map(|(part, _)| *part).chain(parts.tables().iter().copied());
        for (part, products) in parts.zip(products.chunks_exact(square.max(1))) {
            super::super::gramian::add(&mut gramians[part], used, |i, j| products[i * count + j]);
        }
        Ok(Measures { gramians, heads_square: heads_square[0] })
    }

    /// Writes the products of rows over a range of their numbers to `out`, from `at` on, `[i][j]` for `j <= i`.
    fn products(&self, rows: &Sources, first: usize, len: usize, out: &mut CudaSlice<f64>, at: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let stream = self.device.cuda_stream();
        let square = rows.count * rows.count;
        let grid = len.div_ceil((ROOM / rows.count).max(1)).min(BLOCKS);
        // SAFETY: the kernel writes what is read of it.
        let mut partial = unsafe { self.device.alloc::<f64>(grid * square) }?;
        let (count, first, len) = (rows.count as i32, first as u64, len as u64);
        let name = if count == 1 { "squares" } else { "gramian" };
        let function = kernel(&self.device, File::Gramian, name)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut partial).arg(&rows.addresses).arg(&rows.in_bf16).arg(&count).arg(&first).arg(&len);
        // SAFETY: the addresses are those of `count` buffers that live until the copy below, with `first + len` numbers.
        unsafe { launch.launch(blocks(grid, THREADS)) }.w()?;
        let (grid, numbers) = (grid as i32, square as i32);
        let function = kernel(&self.device, File::Gramian, "add_blocks")?;
        let mut out = out.slice_mut(at..at + square);
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut out).arg(&partial).arg(&grid).arg(&numbers);
        // SAFETY: `out` and each block's part of `partial` hold `numbers` numbers.
        unsafe { launch.launch(blocks(square, 32)) }.w()?;
        Ok(())
    }
}
