//! Attention within packed sequences on the device.

use super::launch::{
    DeviceNumber, Word, alloc, launch, launch_kernel, named, slice, stored, tensor, upload, view, words,
};
use super::mask::Mask;
use crate::gradient::device_capability;
use crate::ops::{Attention, Precision};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, LaunchConfig};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// Queries or keys of a block, as in attention.cuh.
const ROWS: usize = 64;
/// Padding of a row in shared memory, as in mma.cuh.
const PADDING: usize = 8;
/// The widest head that there are kernels for.
const WIDEST: usize = 128;

/// The width that kernels pad a head to.
fn padded(d: usize) -> usize {
    d.next_multiple_of(32).clamp(32, WIDEST)
}

/// The kernel for heads padded to `$padded`.
macro_rules! variant {
    ($number:ty, $name:literal, $padded:expr) => {
        match $padded {
            32 => named!($number, $name, "_32"),
            64 => named!($number, $name, "_64"),
            96 => named!($number, $name, "_96"),
            _ => named!($number, $name, "_128"),
        }
    };
}

/// Whether the kernels can do it: learned scores by distance and wide heads are composed, and what tensor cores do not multiply.
pub fn possible(device: &Device, options: &Attention, width: usize, precision: Precision) -> bool {
    let ampere = device_capability(device).is_none_or(|capability| capability >= (8, 0));
    options.relative.is_none() && width / options.heads <= WIDEST && (ampere || precision == Precision::F16)
}

/// Shared memory of the backward kernels: two tiles of 64 rows and two of `other`.
fn backward_bytes(padded: usize, other: usize, number: usize) -> usize {
    2 * (ROWS + other) * (padded + PADDING) * number
}

/// Where the blocks of a batch's sequences are; the same for all layers and both passes.
pub struct Layouts {
    work: CudaSlice<u64>,
    blocks: usize,
    tokens: usize,
    heads: usize,
    /// All attention probabilities.
    probabilities: usize,
}

/// Queries, keys and values: addresses, and numbers from row to row.
#[derive(Clone, Copy)]
pub struct Inputs {
    /// Where each begins.
    pub qkv: [u64; 3],
    /// From one row to the next.
    pub stride: usize,
}

impl Layouts {
    /// Of the sequences of `options`.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &CudaDevice, options: &Attention) -> Result<Self> {
        let sequences = options.sequences();
        let blocks = sequences.iter().flat_map(|sequence| {
            let (first, len) = (sequence.first as u64, sequence.len as u64);
            (0..len).step_by(ROWS).map(move |row| [len << 32 | first, row, sequence.probability])
        });
        let mut blocks: Vec<[u64; 3]> = blocks.collect();
        // Long sequences first, so that the last blocks to end are short.
        blocks.sort_by_key(|block| std::cmp::Reverse(block[0] >> 32));
        let tokens = options.starts.last().map_or(0, |&end| end as usize);
        let probabilities = sequences.iter().map(|sequence| options.heads * sequence.len * sequence.len).sum();
        let work = upload(device, blocks.as_flattened())?;
        Ok(Self { work, blocks: blocks.len(), tokens, heads: options.heads, probabilities })
    }

    fn grid(&self, shared_mem_bytes: usize) -> LaunchConfig {
        let config = crate::cuda::grid(self.blocks, self.heads, 128);
        LaunchConfig { shared_mem_bytes: shared_mem_bytes as u32, ..config }
    }

    /// The context, and the logarithms of the sums of each row's exponentials, `[heads, tokens]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn forward<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        options: &Attention,
        Inputs { qkv: [q, k, v], stride }: Inputs,
        width: usize,
    ) -> Result<(CudaSlice<S>, CudaSlice<f32>)> {
        let (context, logsum) =
            (alloc::<S>(device, self.tokens * width)?, alloc::<f32>(device, self.tokens * self.heads)?);
        if self.blocks == 0 {
            return Ok((context, logsum));
        }
        let mask = Mask::new(device, options.dropout, self.probabilities)?;
        let d = width / self.heads;
        let padded = padded(d);
        let name = variant!(S, "attention_forward", padded);
        let keys = if S::NARROW { 64 } else { 32 };
        let grid = self.grid((ROWS + 2 * keys) * (padded + PADDING) * size_of::<S>());
        launch!(
            device,
            "attention_forward",
            name,
            grid,
            self.work,
            q,
            k,
            v,
            stride,
            context,
            width,
            logsum,
            self.tokens,
            d,
            scale(d),
            mask,
            mask.scale,
        );
        Ok((context, logsum))
    }

    /// Gradients of queries, keys and values, written to `[dq, dk, dv]`, from that of the context.
    ///
    /// # Errors
    /// If the device fails.
    pub fn backward<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        options: &Attention,
        Inputs { qkv: [q, k, v], stride }: Inputs,
        Output { context, logsum, dy, width }: Output,
        gradients: Inputs,
    ) -> Result<()> {
        if self.blocks == 0 {
            return Ok(());
        }
        let mask = Mask::new(device, options.dropout, self.probabilities)?;
        let (d, tokens) = (width / self.heads, self.tokens);
        let delta = alloc::<f32>(device, tokens * self.heads)?;
        let a_warp_a_row = crate::cuda::grid(tokens.div_ceil(4), self.heads, 128);
        let name = named!(S, "attention_row_products");
        launch!(device, "attention_backward", name, a_warp_a_row, dy, context, width, delta, tokens, d);
        let other = if S::NARROW { 32 } else { 16 };
        let Inputs { qkv: [dq, dk, dv], stride: out } = gradients;
        let padded = padded(d);
        let by_queries = variant!(S, "attention_by_queries", padded);
        let by_keys = variant!(S, "attention_by_keys", padded);
        let grid = self.grid(backward_bytes(padded, other, size_of::<S>()));
        for (name, written) in [(by_queries, &[dq, out as u64][..]), (by_keys, &[dk, dv, out as u64][..])] {
            let given =
                words![self.work, q, k, v, stride, dy, width, logsum, delta, tokens, d, scale(d), mask, mask.scale];
            launch_kernel(device, "ops/cuda/attention_backward", name, grid, &[&given, written].concat())?;
        }
        Ok(())
    }
}

/// What the forward pass left, and the gradient of its result; all rows `width` numbers apart.
#[derive(Clone, Copy)]
pub struct Output {
    /// The result.
    pub context: u64,
    /// Logarithms of the sums of each row's exponentials.
    pub logsum: u64,
    /// The result's gradient.
    pub dy: u64,
    /// Numbers of a row.
    pub width: usize,
}

/// The factor of the scores.
fn scale(d: usize) -> f32 {
    1.0 / (d as f32).sqrt()
}

struct Op {
    width: usize,
    options: Attention,
    /// Of the forward pass: logarithms of sums.
    kept: Mutex<Option<Arc<CudaSlice<f32>>>>,
}

/// As [`attention`](super::super::attention), which has checked the shapes.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: Attention) -> Result<Tensor> {
    let width = q.dim(1)?;
    let op = Op { width, options, kept: Mutex::default() };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = super::launch::device(s1);
        let inputs = Inputs { qkv: [slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?], stride: self.width };
        let layouts = Layouts::new(&device, &self.options)?;
        let (context, logsum) = layouts.forward::<f32>(&device, &self.options, inputs, self.width)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(logsum));
        Ok(stored(context, &device, l1.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (device, gradient) = (super::launch::device_of(q)?, gradient.contiguous()?);
        let Some(logsum) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            candle_core::bail!("attention: a backward pass without a forward pass")
        };
        let [dq, dk, dv] = [(); 3].map(|()| alloc::<f32>(&device, q.elem_count()));
        let (dq, dk, dv) = (dq?, dk?, dv?);
        let (qs, ks, vs, ys, dys) = (view(q)?, view(k)?, view(v)?, view(y)?, view(&gradient)?);
        let inputs = Inputs { qkv: [qs.word(), ks.word(), vs.word()], stride: self.width };
        let output = Output { context: ys.word(), logsum: logsum.word(), dy: dys.word(), width: self.width };
        let gradients = Inputs { qkv: [dq.word(), dk.word(), dv.word()], stride: self.width };
        Layouts::new(&device, &self.options)?.backward::<f32>(&device, &self.options, inputs, output, gradients)?;
        let all = [dq, dk, dv].map(|numbers| Some(tensor(numbers, &device, q.shape())));
        Ok(all.into())
    }
}
