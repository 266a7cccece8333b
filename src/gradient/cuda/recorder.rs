//! How an op on a device leaves the gradients of its parameters.

use super::super::{Owner, Recorder, Slot};
use super::table::Groups;
use candle_core::cuda_backend::cudarc::driver::{CudaView, CudaViewMut};
use candle_core::{Result, Storage, Tensor};
use half::bf16;
use std::ops::Range;

/// The part of a gradient row on a device that belongs to one parameter.
pub enum DeviceGradient<'a> {
    /// In f32.
    F32(CudaViewMut<'a, f32>),
    /// In bf16.
    Bf16(CudaViewMut<'a, bf16>),
}

impl Recorder {
    /// Calls `add(input rows, gradient, keep)` for every gradient row that the input has rows for; `add` adds if `keep`,
    /// and overwrites what is there if not. The store is locked meanwhile, and its numbers are ordered by the device's stream.
    ///
    /// # Errors
    /// If `add` fails, the device does, or the store is not on one.
    pub fn record_on_device(
        &self,
        slot: Slot,
        mut add: impl FnMut(Range<usize>, DeviceGradient<'_>, bool) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.store.lock();
        for (row, span) in self.spans().into_iter().filter(|(_, span)| !span.is_empty()) {
            let keep = rows.mark(slot, row);
            let Some(device) = &mut rows.device else { candle_core::bail!("a gradient store on the CPU") };
            add(span, device.part(slot, row)?, keep)?;
        }
        Ok(())
    }

    /// Adds row `i` of `dy` `[_, width]` to row `indices[i]` of the gradient of a table `[_, width]`.
    ///
    /// # Errors
    /// If the device fails, or the store is not on one.
    pub fn record_rows_on_device(
        &self,
        slot: Slot,
        indices: &[u32],
        dy: &CudaView<'_, f32>,
        width: usize,
    ) -> Result<()> {
        let mut rows = self.store.lock();
        for (row, span) in self.spans().into_iter().filter(|(_, span)| !span.is_empty()) {
            let groups = Groups::new(indices, span);
            if slot.owner == Owner::Table {
                rows.used[row] = true;
                let Some(device) = &mut rows.device else { candle_core::bail!("a gradient store on the CPU") };
                let tables = &mut device.tables;
                let Some(table) = tables.iter_mut().find(|table| table.table().offset == slot.offset) else { continue };
                table.add(row, &groups, dy)?;
            } else {
                let keep = rows.mark(slot, row);
                let Some(device) = &mut rows.device else { candle_core::bail!("a gradient store on the CPU") };
                if !keep {
                    device.clear_slot(slot, row)?;
                }
                let cuda = device.device.clone();
                groups.add(&cuda, device.part(slot, row)?, &groups.indices, dy, width)?;
            }
        }
        Ok(())
    }

    /// As [`Recorder::add`], of a tensor on the device of the store.
    pub(in crate::gradient) fn add_on_device(&self, slot: Slot, row: usize, numbers: &Tensor) -> Result<()> {
        with_view(numbers, |view| {
            let mut rows = self.store.lock();
            let keep = rows.mark(slot, row);
            let Some(device) = &mut rows.device else { candle_core::bail!("a gradient store on the CPU") };
            device.put(slot, row, view, keep)
        })
    }

    /// As [`Recorder::record_rows_on_device`], of a tensor.
    pub(in crate::gradient) fn record_rows_tensor(&self, slot: Slot, indices: &[u32], dy: &Tensor) -> Result<()> {
        let width = dy.dim(1)?;
        with_view(dy, |view| self.record_rows_on_device(slot, indices, view, width))
    }
}

/// Calls `f` with the numbers of a tensor on a device.
fn with_view<R>(tensor: &Tensor, f: impl FnOnce(&CudaView<'_, f32>) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { candle_core::bail!("a gradient that is not on the device") };
    let start = layout.start_offset();
    f(&storage.as_cuda_slice::<f32>()?.slice(start..start + layout.shape().elem_count()))
}
