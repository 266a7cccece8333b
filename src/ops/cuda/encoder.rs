//! Transformer layers as one op on the device: what is kept, and what is computed again, is as on the CPU (`ops/encoder/`).

use super::attention::Layouts;
use super::launch::{DeviceNumber, Word, device, device_of, slice, stored, tensor, view};
use super::layer::{Factor, Kept, Layer, States};
use super::product::round;
use super::weights::Chunks;
use crate::ops::{EncoderLayer, LayerOptions, Precision};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};
use half::{bf16, f16};
use std::sync::{Arc, Mutex, PoisonError};

/// As [`encoder`](super::super::encoder), which has checked the shapes, for layers whose attention is
/// [`possible`](super::possible).
pub fn encoder(
    x: &Tensor,
    layers: Vec<(Arc<EncoderLayer>, LayerOptions)>,
    precision: Precision,
    recompute: bool,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    match precision {
        Precision::F32 => Stack::<f32>::apply(&x, layers, recompute),
        Precision::Bf16 => Stack::<bf16>::apply(&x, layers, recompute),
        Precision::F16 => Stack::<f16>::apply(&x, layers, recompute),
    }
}

struct Stack<S: DeviceNumber> {
    layers: Vec<(Arc<EncoderLayer>, LayerOptions)>,
    hidden: usize,
    recompute: bool,
    /// Whether there will be a backward pass.
    tracked: bool,
    memory: Mutex<Vec<Arc<Memory<S>>>>,
}

/// What a layer leaves for its backward pass.
enum Memory<S: DeviceNumber> {
    /// What it computed, and its input as a factor.
    Kept(Box<Kept<S>>, Factor<S>),
    /// Its input, to compute it again.
    Input(States<S>),
}

/// A copy of `count` numbers from an address that holds them until it is made.
fn states<S: DeviceNumber>(device: &CudaDevice, x: u64, count: usize) -> Result<States<S>> {
    let narrow = S::NARROW.then(|| round::<S>(device, x, count)).transpose()?;
    Ok(States { wide: round::<f32>(device, x, count)?, narrow })
}

impl<S: DeviceNumber> Stack<S> {
    fn apply(x: &Tensor, layers: Vec<(Arc<EncoderLayer>, LayerOptions)>, recompute: bool) -> Result<Tensor> {
        let hidden = x.dim(1)?;
        x.apply_op1(Self { layers, hidden, recompute, tracked: x.track_op(), memory: Mutex::default() })
    }

    fn layer<'a>(&'a self, index: usize, layouts: &'a Layouts, tokens: usize) -> Layer<'a> {
        let (parameters, options) = &self.layers[index];
        Layer { parameters, options, layouts, tokens, hidden: self.hidden }
    }

    /// The sequences are the same for all layers.
    fn layouts(&self, device: &CudaDevice) -> Result<Option<Layouts>> {
        self.layers.first().map(|(_, options)| Layouts::new(device, &options.attention)).transpose()
    }
}

impl<S: DeviceNumber> CustomOp1 for Stack<S> {
    fn name(&self) -> &'static str {
        "encoder"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, count) = (device(storage), layout.shape().elem_count());
        let tokens = layout.shape().dims2()?.0;
        let mut x = states::<S>(&device, slice(storage, layout)?, count)?;
        let layouts = self.layouts(&device)?;
        let mut memory = Vec::new();
        for index in 0..self.layers.len() {
            let Some(layouts) = &layouts else { break };
            let layer = self.layer(index, layouts, tokens);
            let keep = self.tracked && !self.recompute;
            let (out, kept) = layer.forward(&device, &x, keep)?;
            let input = std::mem::replace(&mut x, out);
            if keep {
                memory.push(Arc::new(Memory::Kept(Box::new(kept), input.into_factor())));
            } else if self.tracked {
                memory.push(Arc::new(Memory::Input(input)));
            }
        }
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        Ok(stored(x.wide, &device, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient, tokens) = (device_of(x)?, gradient.contiguous()?, x.dim(0)?);
        let mut gradient = round::<f32>(&device, view(&gradient)?.word(), x.elem_count())?;
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(layouts) = self.layouts(&device)? else { return Ok(Some(tensor(gradient, &device, x.shape()))) };
        let recorder = self.layers.first().and_then(|(_, options)| options.attention.recorder.as_ref());
        let chunks = recorder.map(|recorder| Chunks::new(&device, recorder)).transpose()?;
        for (index, memory) in memory.iter().enumerate().rev() {
            let layer = self.layer(index, &layouts, tokens);
            gradient = match &**memory {
                Memory::Kept(kept, input) => layer.backward(&device, gradient, input.word(), kept, chunks.as_ref())?,
                Memory::Input(input) => {
                    let (_, kept) = layer.forward(&device, input, true)?;
                    layer.backward(&device, gradient, input.factor(), &kept, chunks.as_ref())?
                }
            };
        }
        Ok(Some(tensor(gradient, &device, x.shape())))
    }
}
