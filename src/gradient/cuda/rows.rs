//! Gradient rows on the device.

use super::super::{Aligned, Arena, Owner, Row, Slot, TableRows};
use super::kernels::{File, kernel, over};
use super::table::DeviceTable;
use super::{DeviceGradient, cuda, upload};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, CudaViewMut, PushKernelArg};
use candle_core::{CudaDevice, Result};
use half::bf16;

/// The numbers of a [`GradientStore`](crate::gradient::GradientStore) on a device. A row takes memory from the first step on
/// that writes to it.
#[derive(Debug)]
pub struct DeviceRows {
    pub(super) device: CudaDevice,
    pub(super) shared: Vec<DeviceRow>,
    pub(super) tables: Vec<DeviceTable>,
    heads: Option<CudaSlice<f32>>,
    shared_len: usize,
    heads_start: usize,
    heads_len: usize,
}

/// One row of the shared parameters that are no tables.
#[derive(Debug)]
pub(super) enum DeviceRow {
    F32(Option<CudaSlice<f32>>),
    Bf16(Option<CudaSlice<bf16>>),
}

impl DeviceRows {
    /// Rows for an arena, of which each is in bf16 or not; `None` if the arena is not on a CUDA device.
    pub fn new(arena: &Arena, in_bf16: Vec<bool>) -> Option<Self> {
        let device = cuda(arena.device())?.clone();
        let rows = in_bf16.len();
        let row = |bf16| if bf16 { DeviceRow::Bf16(None) } else { DeviceRow::F32(None) };
        Some(Self {
            tables: arena.tables().iter().map(|&table| DeviceTable::new(&device, table, rows)).collect(),
            shared: in_bf16.into_iter().map(row).collect(),
            heads: None,
            shared_len: arena.shared_len(),
            heads_start: arena.heads_start(),
            heads_len: arena.len() - arena.heads_start(),
            device,
        })
    }

    /// Forgets all gradients.
    pub fn clear(&mut self) {
        self.tables.iter_mut().for_each(DeviceTable::clear);
    }

    /// The gradient of the parameter in `slot`, in row `row` if it is shared.
    pub(super) fn part(&mut self, slot: Slot, row: usize) -> Result<DeviceGradient<'_>> {
        let (device, len) = (&self.device, self.shared_len);
        let own = slot.offset..slot.offset + slot.len;
        match (slot.owner, &mut self.shared[row]) {
            (Owner::Table, _) => candle_core::bail!("a table's gradient is kept by row"),
            (Owner::Head, _) => {
                let start = self.heads_start;
                let heads = allocated(&mut self.heads, || device.alloc_zeros(self.heads_len))?;
                Ok(DeviceGradient::F32(heads.slice_mut(own.start - start..own.end - start)))
            }
            (_, DeviceRow::F32(row)) => {
                Ok(DeviceGradient::F32(allocated(row, || device.alloc_zeros(len))?.slice_mut(own)))
            }
            (_, DeviceRow::Bf16(row)) => {
                Ok(DeviceGradient::Bf16(allocated(row, || device.alloc_zeros(len))?.slice_mut(own)))
            }
        }
    }

    /// Sets the gradient of a parameter to zero.
    pub fn clear_slot(&mut self, slot: Slot, row: usize) -> Result<()> {
        let stream = self.device.cuda_stream();
        match self.part(slot, row)? {
            DeviceGradient::F32(mut part) => stream.memset_zeros(&mut part).w(),
            DeviceGradient::Bf16(mut part) => stream.memset_zeros(&mut part).w(),
        }
    }

    /// Writes numbers to the gradient of a parameter, or adds them to it if `keep`.
    pub(super) fn put(&mut self, slot: Slot, row: usize, numbers: &CudaView<'_, f32>, keep: bool) -> Result<()> {
        let device = self.device.clone();
        put(&device, self.part(slot, row)?, numbers, keep)
    }

    /// Multiplies the gradient of a head's parameter.
    pub fn scale_head(&mut self, slot: Slot, factor: f32) -> Result<()> {
        let device = self.device.clone();
        let DeviceGradient::F32(part) = self.part(slot, 0)? else { candle_core::bail!("heads' gradients are f32") };
        scale(&device, part, factor)
    }

    /// Multiplies the gradient rows in `used`, which were filled, and the heads' gradients; all are in f32.
    pub fn scale(&mut self, used: &[usize], factor: f32) -> Result<()> {
        let device = self.device.clone();
        for &row in used {
            match &mut self.shared[row] {
                DeviceRow::F32(numbers) => {
                    numbers.iter_mut().try_for_each(|numbers| scale(&device, numbers.slice_mut(..), factor))?;
                }
                DeviceRow::Bf16(_) => candle_core::bail!("gradients in bf16 need no scale"),
            }
            self.tables.iter_mut().try_for_each(|table| scale(&device, table.filled(row)?, factor))?;
        }
        self.heads.iter_mut().try_for_each(|heads| scale(&device, heads.slice_mut(..), factor))
    }

    /// The gradients of the heads' parameters, if any were written.
    pub(super) fn heads_buffer(&self) -> Option<&CudaSlice<f32>> {
        self.heads.as_ref()
    }

    pub(super) fn heads_mut(&mut self) -> Option<&mut CudaSlice<f32>> {
        self.heads.as_mut()
    }

    /// A copy of the heads' gradients.
    pub fn heads(&self) -> Result<Vec<f32>> {
        match &self.heads {
            Some(heads) => self.device.clone_dtoh(heads),
            None => Ok(vec![0.0; self.heads_len]),
        }
    }

    /// Overwrites the heads' gradients.
    pub fn set_heads(&mut self, numbers: &[f32]) -> Result<()> {
        if self.heads_len > 0 {
            let device = &self.device;
            let heads = allocated(&mut self.heads, || device.alloc_zeros(self.heads_len))?;
            device.cuda_stream().memcpy_htod(numbers, heads).w()?;
        }
        Ok(())
    }

    /// Copies row `row` to the host.
    pub fn fetch(&mut self, row: usize, shared: &mut Row, tables: &mut [TableRows]) -> Result<()> {
        *shared = match &self.shared[row] {
            DeviceRow::F32(Some(numbers)) => Row::F32(self.device.clone_dtoh(numbers)?),
            DeviceRow::Bf16(Some(numbers)) => Row::Bf16(self.device.clone_dtoh(numbers)?.into()),
            DeviceRow::F32(None) => Row::F32(vec![0.0; self.shared_len]),
            DeviceRow::Bf16(None) => Row::Bf16(Aligned::zeros(self.shared_len)),
        };
        for (own, table) in self.tables.iter_mut().zip(tables) {
            own.fetch(row, table)?;
        }
        Ok(())
    }

    /// Copies row `row` from the host.
    pub fn send(&mut self, row: usize, shared: &Row, tables: &[TableRows]) -> Result<()> {
        let stream = self.device.cuda_stream();
        let (device, len) = (&self.device, self.shared_len);
        match (&mut self.shared[row], shared) {
            _ if len == 0 => {}
            (DeviceRow::F32(own), Row::F32(numbers)) => {
                stream.memcpy_htod(numbers, allocated(own, || device.alloc_zeros(len))?).w()?;
            }
            (DeviceRow::Bf16(own), Row::Bf16(numbers)) => {
                stream.memcpy_htod(&**numbers, allocated(own, || device.alloc_zeros(len))?).w()?;
            }
            _ => candle_core::bail!("a gradient row in another number format"),
        }
        for (own, table) in self.tables.iter_mut().zip(tables) {
            own.send(row, table)?;
        }
        Ok(())
    }

    /// Addresses of rows and whether they are in bf16, for kernels that read several.
    pub(super) fn addresses(&self, rows: &[usize]) -> Result<(CudaSlice<u64>, CudaSlice<i32>)> {
        let address = |row: &usize| match &self.shared[*row] {
            DeviceRow::F32(Some(numbers)) => (super::address(numbers), 0),
            DeviceRow::Bf16(Some(numbers)) => (super::address(numbers), 1),
            // Only where there is nothing to read: a row that is used was written whole.
            DeviceRow::F32(None) | DeviceRow::Bf16(None) => (0, 0),
        };
        let (addresses, formats): (Vec<u64>, Vec<i32>) = rows.iter().map(address).unzip();
        Ok((upload(&self.device, &addresses)?, upload(&self.device, &formats)?))
    }
}

/// What is in `buffer`, made first if it is not there.
fn allocated<T>(
    buffer: &mut Option<CudaSlice<T>>,
    new: impl FnOnce() -> Result<CudaSlice<T>>,
) -> Result<&mut CudaSlice<T>> {
    if buffer.is_none() {
        *buffer = Some(new()?);
    }
    Ok(buffer.as_mut().expect("just made"))
}

fn scale(device: &CudaDevice, mut numbers: CudaViewMut<'_, f32>, factor: f32) -> Result<()> {
    let (stream, count) = (device.cuda_stream(), numbers.len() as u64);
    if count > 0 {
        let function = kernel(device, File::Rows, "scale")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut numbers).arg(&count).arg(&factor);
        // SAFETY: the kernel changes the first `count` numbers, all that there are.
        unsafe { launch.launch(over(count as usize)) }.w()?;
    }
    Ok(())
}

fn put(device: &CudaDevice, to: DeviceGradient<'_>, numbers: &CudaView<'_, f32>, keep: bool) -> Result<()> {
    let stream = device.cuda_stream();
    let (count, keep) = (numbers.len() as u64, i32::from(keep));
    let (name, len, mut f32s, mut bf16s) = match to {
        DeviceGradient::F32(part) => ("put_f32", part.len(), Some(part), None),
        DeviceGradient::Bf16(part) => ("put_bf16", part.len(), None, Some(part)),
    };
    if len != numbers.len() {
        candle_core::bail!("{} numbers for a gradient of {len}", numbers.len());
    }
    let function = kernel(device, File::Rows, name)?;
    let mut launch = stream.launch_builder(&function);
    if let Some(part) = &mut f32s {
        launch.arg(part);
    }
    if let Some(part) = &mut bf16s {
        launch.arg(part);
    }
    launch.arg(numbers).arg(&count).arg(&keep);
    // SAFETY: both buffers hold `count` numbers, as was checked, of the format that the kernel is for.
    unsafe { launch.launch(over(numbers.len())) }.w()?;
    Ok(())
}
