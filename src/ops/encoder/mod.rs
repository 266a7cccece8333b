//! Transformer layers with normalization after each residual (Vaswani et al. 2017; BERT), as one op.
//!
//! One op, so that what lies between the products stays in the caches: a thread takes a block of tokens through biases,
//! dropout, residuals, norms and activation at once, and only what the backward pass cannot recompute cheaply is kept.

mod backward;
mod forward;
mod numbers;

pub use numbers::FixedOperands;

use super::activation::Activation;
use super::attention::Attention;
use super::blocks::Blocks;
use super::buffers::Buffer;
use super::composed;
use super::kernel::{slice, tensor, view};
use super::matmul::{Matrix, block_rows};
use super::number::{Number, Precision};
use super::random::Dropout;
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use half::bf16;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// A weight `[outputs, inputs]` and its bias `[outputs]`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// The weight.
    pub weight: Parameter,
    /// The bias.
    pub bias: Parameter,
}

/// Weight and bias of a layer normalization.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Factor of each dimension.
    pub weight: Parameter,
    /// Offset of each dimension.
    pub bias: Parameter,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Parameters of a layer.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    /// Queries, keys and values, `[hidden, hidden]` each.
    pub qkv: [Dense; 3],
    /// From the heads' contexts back to the hidden states.
    pub attention_output: Dense,
    /// After the first residual.
    pub attention_norm: Norm,
    /// First half of the feed-forward part, `[inner, hidden]`.
    pub intermediate: Dense,
    /// Between its halves.
    pub activation: Activation,
    /// Second half, `[hidden, inner]`.
    pub output: Dense,
    /// After the second residual.
    pub output_norm: Norm,
}

/// What a layer needs beside its parameters and input.
#[derive(Clone)]
pub struct LayerOptions {
    /// Attention within the sequences; its recorder takes the gradients of all of the layer's parameters.
    pub attention: Attention,
    /// Dropout before the two residuals.
    pub dropout: [Option<Dropout>; 2],
    /// Operands that were laid out before, for parameters that do not change.
    pub operands: Option<Arc<FixedOperands>>,
}

/// Applies layers, each with its options, to `x` `[tokens, hidden]`; result of the same shape.
///
/// Products and what is kept for the backward pass are of the given precision. With `recompute` only the input of each
/// layer is kept, and layers are computed again in the backward pass. Both are for devices with kernels.
///
/// # Errors
/// If the shapes do not fit.
pub fn encoder(
    x: &Tensor,
    layers: Vec<(Arc<EncoderLayer>, LayerOptions)>,
    precision: Precision,
    recompute: bool,
) -> Result<Tensor> {
    let (tokens, hidden) = x.dims2()?;
    for (layer, options) in &layers {
        layer.check(hidden)?;
        options.attention.check(tokens, hidden)?;
    }
    if composed::needed(x)? || !possible(x, &layers, hidden, precision) {
        let apply = |x: Tensor, (layer, options): (Arc<EncoderLayer>, _)| composed::encoder(&x, &layer, options);
        return layers.into_iter().try_fold(x.clone(), apply);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::encoder(x, layers, precision, recompute);
    }
    let x = x.contiguous()?;
    match precision {
        Precision::F32 => Stack::<f32>::apply(&x, layers, hidden, recompute),
        Precision::Bf16 => Stack::<bf16>::apply(&x, layers, hidden, recompute),
        Precision::F16 => candle_core::bail!("encoder: the CPU has no products in f16"),
    }
}

/// Whether there are kernels for what the layers do, where `x` is.
#[cfg(feature = "cuda")]
fn possible(x: &Tensor, layers: &[(Arc<EncoderLayer>, LayerOptions)], hidden: usize, precision: Precision) -> bool {
    // One layer's attention is as the other's.
    let fits =
        |(_, options): &(_, LayerOptions)| super::cuda::possible(x.device(), &options.attention, hidden, precision);
    x.device().is_cpu() || layers.first().is_none_or(fits)
}

#[cfg(not(feature = "cuda"))]
fn possible(_: &Tensor, _: &[(Arc<EncoderLayer>, LayerOptions)], _: usize, _: Precision) -> bool {
    true
}

impl EncoderLayer {
    fn inner(&self) -> usize {
        self.intermediate.bias.value.elem_count()
    }

    fn check(&self, hidden: usize) -> Result<()> {
        let inner = self.inner();
        let square = self.qkv.iter().chain([&self.attention_output]).map(|dense| (dense, [hidden, hidden]));
        let wide = [(&self.intermediate, [inner, hidden]), (&self.output, [hidden, inner])];
        for (dense, shape) in square.chain(wide) {
            if dense.weight.value.dims() != shape || dense.bias.value.dims() != [shape[0]] {
                candle_core::bail!("encoder: weight {:?}, expected {shape:?}", dense.weight.value.shape());
            }
        }
        for norm in [&self.attention_norm, &self.output_norm] {
            if norm.weight.value.dims() != [hidden] || norm.bias.value.dims() != [hidden] {
                candle_core::bail!("encoder: norm {:?} for width {hidden}", norm.weight.value.shape());
            }
        }
        Ok(())
    }
}

struct Stack<S: Number> {
    layers: Vec<Layer<S>>,
    recompute: bool,
    /// Whether there will be a backward pass.
    tracked: bool,
    memory: Mutex<Vec<Arc<Memory<S>>>>,
}

/// What a layer leaves for its backward pass.
enum Memory<S: Number> {
    Kept(Box<Kept<S>>),
    /// Its input, to compute it again.
    Input(Buffer<f32>),
}

struct Layer<S: Number> {
    parameters: Arc<EncoderLayer>,
    options: LayerOptions,
    hidden: usize,
    inner: usize,
    number: PhantomData<S>,
}

/// What the backward pass needs, `[tokens, …]`.
struct Kept<S: Number> {
    /// The layer's input.
    input: Buffer<S>,
    /// Queries, keys and values side by side.
    qkv: Buffer<S>,
    /// Result of the attention.
    context: Buffer<S>,
    /// What the attention's backward pass needs beside that, `[heads]` a token.
    log_sums: Buffer<f32>,
    /// Inputs of the two norms.
    first_sum: Buffer<S>,
    second_sum: Buffer<S>,
    /// Input of the activation.
    inner: Buffer<S>,
}

impl<S: Number> Kept<S> {
    /// Queries, keys and values.
    fn parts(&self, hidden: usize) -> [Matrix<'_, S>; 3] {
        [0, 1, 2].map(|part| {
            let data = self.qkv.get(part * hidden..).unwrap_or(&[]);
            Matrix { data, row: 3 * hidden, column: 1 }
        })
    }
}

impl<S: Number> Layer<S> {
    fn recorder(&self) -> Option<&Recorder> {
        self.options.attention.recorder.as_ref()
    }

    fn blocks(&self, tokens: usize) -> Blocks {
        match self.recorder() {
            Some(recorder) => Blocks::new(&recorder.spans(), tokens, block_rows()),
            // Without gradients no sum depends on the blocks: a few tokens are spread over all threads, in equal shares.
            None => {
                let share = tokens.div_ceil(rayon::current_num_threads()).max(8);
                Blocks::new(&[], tokens, share.min(block_rows()))
            }
        }
    }
}

impl<S: Number> Stack<S> {
    fn apply(
        x: &Tensor,
        layers: Vec<(Arc<EncoderLayer>, LayerOptions)>,
        hidden: usize,
        recompute: bool,
    ) -> Result<Tensor> {
        let layer = |(parameters, options): (Arc<EncoderLayer>, LayerOptions)| Layer {
            inner: parameters.inner(),
            parameters,
            options,
            hidden,
            number: PhantomData,
        };
        let layers = layers.into_iter().map(layer).collect();
        x.apply_op1(Self { layers, recompute, tracked: x.track_op(), memory: Mutex::default() })
    }

    fn forward(&self, x: &[f32]) -> Result<Buffer<f32>> {
        let mut states = Buffer::<f32>::copy(x);
        let mut memory = Vec::new();
        for layer in &self.layers {
            let mut out = Buffer::stale(x.len());
            let keep = self.tracked && !self.recompute;
            let mut kept = layer.forward(&states, &mut out, keep)?;
            let input = std::mem::replace(&mut states, out);
            if keep {
                kept.input = S::take(input);
                memory.push(Arc::new(Memory::Kept(Box::new(kept))));
            } else if self.tracked {
                memory.push(Arc::new(Memory::Input(input)));
            }
        }
        *self.memory.lock().expect("kernels do not panic") = memory;
        Ok(states)
    }
}

impl<S: Number> CustomOp1 for Stack<S> {
    fn name(&self) -> &'static str {
        "encoder"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        // On a thread of the pool: each product would wake it up anew otherwise.
        let states = rayon::scope(|_| self.forward(x))?;
        Ok((CpuStorage::F32(states.to_vec()), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut gradient = view(&gradient.contiguous()?)?.to_vec();
        let memory = self.memory.lock().expect("kernels do not panic").clone();
        for (layer, memory) in self.layers.iter().zip(&memory).rev() {
            match &**memory {
                Memory::Kept(kept) => layer.backward(&mut gradient, kept)?,
                Memory::Input(input) => {
                    let mut kept = layer.forward(input, &mut Buffer::stale(input.len()), true)?;
                    kept.input = S::take(Buffer::copy(input));
                    layer.backward(&mut gradient, &kept)?;
                }
            }
        }
        tensor(gradient, x.shape()).map(Some)
    }
}
