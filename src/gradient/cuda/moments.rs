//! AdamW's moments on the device, and its step there.

use super::super::update::Numbers;
use super::super::{Arena, Table};
use super::kernels::{File, across, blocks, kernel};
use super::{DeviceRows, cuda, upload};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr, PushKernelArg};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, InplaceOp1, Layout, Result, Tensor};
use std::sync::{Mutex, OnceLock};

/// Numbers of one parameter that one block of threads handles.
const PIECE: usize = 1 << 12;
const THREADS: u32 = 256;

/// Both moments of every number of an arena, zeros until the first step.
#[derive(Debug)]
pub struct DeviceMoments {
    device: CudaDevice,
    len: usize,
    moments: Option<[CudaSlice<f32>; 2]>,
    pieces: Pieces,
}

/// The parameters in pieces, each with the place of its parameter among the arena's entries.
#[derive(Debug)]
struct Pieces {
    shared: Vec<Piece>,
    heads: Vec<Piece>,
    /// Tables, which have kernels of their own.
    tables: Vec<(Table, u32)>,
    heads_start: usize,
    shared_len: usize,
    /// `shared` and `heads` on the device.
    uploaded: OnceLock<[CudaSlice<Piece>; 2]>,
}

/// As in adamw.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Piece {
    first: u64,
    len: u32,
    group: u32,
}

/// What one parameter's step has of its own, as in adamw.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Group {
    decay: f32,
    step: f32,
    part: i32,
    unused: i32,
}

/// What all have, as in adamw.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Common {
    b1: f32,
    b2: f32,
    correction2: f32,
    epsilon: f32,
    scale: f32,
}

// SAFETY: plain numbers in the order of the structs in adamw.cu, without padding.
unsafe impl DeviceRepr for Piece {}
// SAFETY: as above.
unsafe impl DeviceRepr for Group {}
// SAFETY: as above.
unsafe impl DeviceRepr for Common {}

/// What a step takes from the host.
pub struct DeviceStep<'a> {
    /// Rates of each entry of the arena.
    pub numbers: &'a [Numbers],
    /// Part of each entry of the arena.
    pub parts: &'a [usize],
    /// Gradient rows that count, and their weights by part.
    pub rows: &'a [usize],
    /// `[part][row]`, a weight for each of `rows`.
    pub weights: &'a [Vec<f32>],
}

impl DeviceMoments {
    /// For an arena; `None` if it is not on a CUDA device.
    pub fn new(arena: &Arena) -> Option<Self> {
        let device = cuda(arena.device())?.clone();
        let (shared_len, heads_start) = (arena.shared_len(), arena.heads_start());
        let entries = || arena.entries().values().map(|entry| entry.slot);
        let cut = |from: usize, to: usize| -> Vec<Piece> {
            let own = entries().filter(move |slot| slot.offset >= from && slot.offset < to);
            own.flat_map(|slot| {
                (0..slot.len).step_by(PIECE).map(move |at| Piece {
                    first: (slot.offset + at) as u64,
                    len: (slot.len - at).min(PIECE) as u32,
                    group: slot.index as u32,
                })
            })
            .collect()
        };
        let table = |table: &Table| {
            let slot = entries().find(|slot| slot.offset == table.offset).expect("a table is a parameter");
            (*table, slot.index as u32)
        };
        let pieces = Pieces {
            shared: cut(0, shared_len),
            heads: cut(heads_start, arena.len()),
            tables: arena.tables().iter().map(table).collect(),
            heads_start,
            shared_len,
            uploaded: OnceLock::new(),
        };
        Some(Self { device, len: arena.len(), moments: None, pieces })
    }

    /// Copies of both moments.
    pub fn copies(&self) -> Result<[Vec<f32>; 2]> {
        match &self.moments {
            Some([first, second]) => Ok([self.device.clone_dtoh(first)?, self.device.clone_dtoh(second)?]),
            None => Ok([vec![0.0; self.len], vec![0.0; self.len]]),
        }
    }

    /// Overwrites both.
    pub fn restore(&mut self, [first, second]: [&[f32]; 2]) -> Result<()> {
        self.moments = Some([upload(&self.device, first)?, upload(&self.device, second)?]);
        Ok(())
    }

    /// One step of all parameters.
    pub fn step(&mut self, arena: &Arena, rows: &mut DeviceRows, step: &DeviceStep) -> Result<()> {
        if self.moments.is_none() {
            let zeros = || self.device.alloc_zeros::<f32>(self.len.max(1));
            self.moments = Some([zeros()?, zeros()?]);
        }
        rows.fill(step.rows)?;
        let [m, v] = self.moments.as_mut().expect("just made");
        let (device, pieces) = (&self.device, &self.pieces);
        on_flat(arena.flat(), |p| {
            let launch = Launch::new(device, step)?;
            launch.shared(pieces, [&mut *p, &mut *m, &mut *v], rows)?;
            launch.heads(pieces, [&mut *p, &mut *m, &mut *v], rows)?;
            launch.tables(pieces, [p, m, v], rows)
        })
    }

    /// What `f` gives after a step of the shared parameters that are no tables, from moments of zero and those that are here;
    /// the step is taken back.
    pub fn look_ahead<R>(
        &self,
        arena: &Arena,
        rows: &DeviceRows,
        step: &DeviceStep,
        f: impl FnOnce() -> R,
    ) -> Result<R> {
        let stream = self.device.cuda_stream();
        let (device, pieces, moments) = (&self.device, &self.pieces, &self.moments);
        if pieces.shared_len == 0 {
            return Ok(f());
        }
        let len = pieces.shared_len;
        let mut m = device.alloc_zeros::<f32>(len)?;
        let mut v = device.alloc_zeros::<f32>(len)?;
        if let Some([_, second]) = moments {
            stream.memcpy_dtod(&second.slice(..pieces.shared_len), &mut v.slice_mut(..pieces.shared_len)).w()?;
        }
        // SAFETY: written by the copy below before it is read.
        let mut before = unsafe { device.alloc::<f32>(len) }?;
        let shared = ..pieces.shared_len;
        on_flat(arena.flat(), |p| {
            stream.memcpy_dtod(&p.slice(shared), &mut before.slice_mut(shared)).w()?;
            Launch::new(device, step)?.shared(pieces, [p, &mut m, &mut v], rows)
        })?;
        let result = f();
        on_flat(arena.flat(), |p| stream.memcpy_dtod(&before.slice(shared), &mut p.slice_mut(shared)).w())?;
        Ok(result)
    }
}

impl Pieces {
    /// Those of shared parameters and of heads, on the device.
    fn on(&self, device: &CudaDevice) -> Result<&[CudaSlice<Piece>; 2]> {
        if let Some(uploaded) = self.uploaded.get() {
            return Ok(uploaded);
        }
        let new = [upload(device, &self.shared)?, upload(device, &self.heads)?];
        Ok(self.uploaded.get_or_init(|| new))
    }
}

/// The numbers of one step on the device.
struct Launch<'a> {
    device: &'a CudaDevice,
    step: &'a DeviceStep<'a>,
    groups: CudaSlice<Group>,
    /// By part, then by row.
    weights: CudaSlice<f32>,
    common: Common,
}

impl<'a> Launch<'a> {
    fn new(device: &'a CudaDevice, step: &'a DeviceStep<'a>) -> Result<Self> {
        let group = |(numbers, part): (&Numbers, &usize)| Group {
            decay: numbers.decay,
            step: numbers.step,
            part: *part as i32,
            unused: 0,
        };
        let groups: Vec<Group> = step.numbers.iter().zip(step.parts).map(group).collect();
        let Some(n) = step.numbers.first() else { candle_core::bail!("no parameters to train") };
        let common = Common { b1: n.b1, b2: n.b2, correction2: n.correction2, epsilon: n.epsilon, scale: n.scale };
        let (groups, weights) = (upload(device, &groups)?, upload(device, &step.weights.concat())?);
        Ok(Self { device, step, groups, weights, common })
    }

    fn shared(&self, pieces: &Pieces, [p, m, v]: [&mut CudaSlice<f32>; 3], rows: &DeviceRows) -> Result<()> {
        if pieces.shared.is_empty() {
            return Ok(());
        }
        let (addresses, in_bf16) = rows.addresses(self.step.rows)?;
        let (grid, count) = (pieces.shared.len(), self.step.rows.len() as i32);
        let stream = self.device.cuda_stream();
        let function = kernel(self.device, File::AdamW, "adamw_shared")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(p).arg(m).arg(v).arg(&pieces.on(self.device)?[0]).arg(&self.groups);
        launch.arg(&addresses).arg(&in_bf16).arg(&self.weights).arg(&count).arg(&self.common);
        // SAFETY: pieces lie inside the arena, moments and rows, all as long as the shared parameters at least; groups has
        // each entry of the arena, weights each of its parts.
        unsafe { launch.launch(blocks(grid, THREADS)) }.w()?;
        Ok(())
    }

    fn heads(&self, pieces: &Pieces, [p, m, v]: [&mut CudaSlice<f32>; 3], rows: &DeviceRows) -> Result<()> {
        let Some(gradient) = rows.heads_buffer() else { return Ok(()) };
        let (grid, start) = (pieces.heads.len(), pieces.heads_start as u64);
        let stream = self.device.cuda_stream();
        let function = kernel(self.device, File::AdamW, "adamw_heads")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(p).arg(m).arg(v).arg(&pieces.on(self.device)?[1]).arg(&self.groups);
        launch.arg(gradient).arg(&start).arg(&self.common);
        // SAFETY: as for shared parameters; the gradient is as long as the arena from `start` on.
        unsafe { launch.launch(blocks(grid, THREADS)) }.w()?;
        Ok(())
    }

    fn tables(&self, pieces: &Pieces, [p, m, v]: [&mut CudaSlice<f32>; 3], rows: &mut DeviceRows) -> Result<()> {
        let stream = self.device.cuda_stream();
        let function = kernel(self.device, File::AdamW, "adamw_table")?;
        for ((table, group), own) in pieces.tables.iter().zip(&mut rows.tables) {
            let (first, width, count) = (table.offset as u64, table.width as i32, self.step.rows.len() as i32);
            let addresses = own.addresses(self.step.rows)?;
            own.with_map(|places| {
                let mut launch = stream.launch_builder(&function);
                launch.arg(&mut *p).arg(&mut *m).arg(&mut *v).arg(&first).arg(&width).arg(places);
                launch.arg(&self.groups).arg(group).arg(&addresses).arg(&self.weights).arg(&count).arg(&self.common);
                // SAFETY: the table lies inside the arena; places lie inside the rows, which were filled.
                unsafe { launch.launch(blocks(table.entries, across(table.width))) }.w()?;
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Calls `f` with the numbers of a flat tensor, to change them in place.
fn on_flat(flat: &Tensor, f: impl FnOnce(&mut CudaSlice<f32>) -> Result<()>) -> Result<()> {
    struct InPlace<F>(Mutex<Option<F>>);
    impl<F: FnOnce(&mut CudaSlice<f32>) -> Result<()>> InplaceOp1 for InPlace<F> {
        fn name(&self) -> &'static str {
            "arena-update"
        }

        fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
            candle_core::bail!("an arena on the CPU")
        }

        fn cuda_fwd(&self, storage: &mut CudaStorage, _: &Layout) -> Result<()> {
            let f = self.0.lock().expect("never poisoned: one caller").take();
            f.map_or(Ok(()), |f| f(storage.as_cuda_slice_mut::<f32>()?))
        }
    }
    flat.inplace_op1(&InPlace(Mutex::new(Some(f))))
}
