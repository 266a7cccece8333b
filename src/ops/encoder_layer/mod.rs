//! A whole transformer layer with normalization after each residual (Vaswani et al. 2017; BERT), as one op.
//!
//! One op, so that what lies between its products stays in the caches: a thread takes a block of tokens through biases,
//! dropout, residuals, norms and activation at once, and only what the backward pass cannot recompute cheaply is kept.

mod backward;
mod forward;
mod numbers;

use super::activation::Activation;
use super::attention::Attention;
use super::blocks::Blocks;
use super::buffers::Buffer;
use super::kernel::{slice, tensor, view};
use super::matmul::{Matrix, block_rows};
use super::number::{Number, Precision};
use super::random::Dropout;
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use half::bf16;
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
    /// How numbers are multiplied, and how activations are kept for the backward pass.
    pub precision: Precision,
    /// Keep nothing but the input, and compute the layer again in the backward pass.
    pub recompute: bool,
}

/// Applies a layer to `x` `[tokens, hidden]`; result of the same shape.
///
/// # Errors
/// If the shapes do not fit.
pub fn encoder_layer(x: &Tensor, layer: &Arc<EncoderLayer>, options: LayerOptions) -> Result<Tensor> {
    let (tokens, hidden) = x.dims2()?;
    let inner = layer.intermediate.weight.value.dim(0)?;
    options.attention.check(tokens, hidden)?;
    let square = layer.qkv.iter().chain([&layer.attention_output]).map(|dense| (dense, [hidden, hidden]));
    let wide = [(&layer.intermediate, [inner, hidden]), (&layer.output, [hidden, inner])];
    for (dense, shape) in square.chain(wide) {
        if dense.weight.value.dims() != shape || dense.bias.value.dims() != [shape[0]] {
            candle_core::bail!("encoder layer: weight {:?}, expected {shape:?}", dense.weight.value.shape());
        }
    }
    for norm in [&layer.attention_norm, &layer.output_norm] {
        if norm.weight.value.dims() != [hidden] || norm.bias.value.dims() != [hidden] {
            candle_core::bail!("encoder layer: norm {:?} for width {hidden}", norm.weight.value.shape());
        }
    }
    let x = x.contiguous()?;
    match options.precision {
        Precision::F32 => Op::<f32>::apply(&x, layer, options, hidden, inner),
        Precision::Bf16 => Op::<bf16>::apply(&x, layer, options, hidden, inner),
    }
}

/// Numbers that a layer keeps for its backward pass beside its input, a token, in the type of the precision.
pub fn kept_numbers(hidden: usize, inner: usize) -> usize {
    6 * hidden + inner
}

/// Numbers that a layer's backward pass needs for a while, a token, in the type of the precision.
pub fn backward_numbers(hidden: usize, inner: usize) -> usize {
    7 * hidden + 2 * inner
}

struct Op<S: Number> {
    layer: Arc<EncoderLayer>,
    options: LayerOptions,
    hidden: usize,
    inner: usize,
    /// Whether there will be a backward pass.
    tracked: bool,
    kept: Mutex<Option<Arc<Kept<S>>>>,
}

/// What the backward pass needs, `[tokens, …]`.
struct Kept<S: Number> {
    /// Queries, keys and values side by side.
    qkv: Buffer<S>,
    /// Result of the attention.
    context: Buffer<S>,
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

impl<S: Number> Op<S> {
    fn apply(
        x: &Tensor,
        layer: &Arc<EncoderLayer>,
        options: LayerOptions,
        hidden: usize,
        inner: usize,
    ) -> Result<Tensor> {
        let tracked = x.track_op();
        x.apply_op1(Self { layer: layer.clone(), options, hidden, inner, tracked, kept: Mutex::new(None) })
    }

    fn recorder(&self) -> Option<&Recorder> {
        self.options.attention.recorder.as_ref()
    }

    fn blocks(&self, tokens: usize) -> Blocks {
        Blocks::new(self.recorder().map_or(&[], Recorder::spans), tokens, block_rows())
    }
}

impl<S: Number> CustomOp1 for Op<S> {
    fn name(&self) -> &'static str {
        "encoder-layer"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let mut out = vec![0.0; x.len()];
        let keep = self.tracked && !self.options.recompute;
        let kept = self.forward(x, &mut out, keep)?;
        if keep {
            *self.kept.lock().expect("kernels do not panic") = Some(Arc::new(kept));
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (xs, dy) = (view(x)?, view(&gradient)?);
        let kept = self.kept.lock().expect("kernels do not panic").clone();
        let kept = match kept {
            Some(kept) => kept,
            None => Arc::new(self.forward(&xs, &mut Buffer::stale(xs.len()), true)?),
        };
        tensor(self.backward(&xs, &dy, &kept)?, x.shape()).map(Some)
    }
}
