//! One transformer layer on the device.

use super::attention::{Inputs, Layouts, Output};
use super::launch::{DeviceNumber, Word, alloc, launch, named, over, view, warps};
use super::mask::Mask;
use super::product::{Matrix, Product};
use super::weights::{Chunks, Weight, record_weight};
use crate::gradient::Parameter;
use crate::ops::{Dense, EncoderLayer, LayerOptions, Norm};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaDevice, Result};

/// Hidden states in f32, and in the type of products where that is another.
pub struct States<S> {
    pub wide: CudaSlice<f32>,
    pub narrow: Option<CudaSlice<S>>,
}

/// Hidden states as a factor.
pub enum Factor<S> {
    Wide(CudaSlice<f32>),
    Narrow(CudaSlice<S>),
}

impl<S> Word for Factor<S> {
    fn word(&self) -> u64 {
        match self {
            Self::Wide(numbers) => numbers.word(),
            Self::Narrow(numbers) => numbers.word(),
        }
    }
}

impl<S: DeviceNumber> States<S> {
    /// Room for `count` numbers.
    pub fn room(device: &CudaDevice, count: usize) -> Result<Self> {
        let narrow = S::NARROW.then(|| alloc::<S>(device, count)).transpose()?;
        Ok(Self { wide: alloc::<f32>(device, count)?, narrow })
    }

    /// Where the factor is.
    pub fn factor(&self) -> u64 {
        self.narrow.as_ref().map_or_else(|| self.wide.word(), Word::word)
    }

    /// The factor alone.
    pub fn into_factor(self) -> Factor<S> {
        match self.narrow {
            Some(narrow) => Factor::Narrow(narrow),
            None => Factor::Wide(self.wide),
        }
    }
}

/// What the backward pass needs beside the layer's input, `[tokens, …]`.
pub struct Kept<S> {
    /// Queries, keys and values side by side.
    qkv: CudaSlice<S>,
    /// Result of the attention, and what its softmax left.
    context: CudaSlice<S>,
    logsum: CudaSlice<f32>,
    /// Inputs of the two norms.
    first_sum: Option<CudaSlice<S>>,
    second_sum: Option<CudaSlice<S>>,
    /// Input of the activation.
    inner: CudaSlice<S>,
}

/// A layer in one pass.
pub struct Layer<'a> {
    pub parameters: &'a EncoderLayer,
    pub options: &'a LayerOptions,
    pub layouts: &'a Layouts,
    pub tokens: usize,
    pub hidden: usize,
}

/// The end of half a layer: what is added up and normalized.
struct Close<'a, S> {
    product: &'a CudaSlice<f32>,
    bias: &'a Parameter,
    mask: Mask,
    residual: &'a CudaSlice<f32>,
    norm: &'a Norm,
    kept: Option<&'a CudaSlice<S>>,
}

/// One norm on the way back: its input and the gradient of its result. `normal`: where the result goes once more.
struct Open<'a, S> {
    sum: &'a CudaSlice<S>,
    dy: &'a CudaSlice<f32>,
    norm: &'a Norm,
    mask: Mask,
    normal: Option<&'a CudaSlice<S>>,
}

impl Layer<'_> {
    /// The layer's result for `x`, and what a backward pass needs; without `keep` some of that is left out.
    ///
    /// # Errors
    /// If the device fails.
    pub fn forward<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        x: &States<S>,
        keep: bool,
    ) -> Result<(States<S>, Kept<S>)> {
        let (tokens, h, layer) = (self.tokens, self.hidden, self.parameters);
        let inner_width = layer.intermediate.bias.value.elem_count();
        let qkv = alloc::<S>(device, tokens * 3 * h)?;
        let all = Matrix::new::<S>(qkv.word(), 3 * h);
        for (part, dense) in layer.qkv.iter().enumerate() {
            self.dense::<S>(device, dense, x.factor(), all.column(part * h), true)?;
        }
        let attention = &self.options.attention;
        let (context, logsum) =
            self.layouts.forward::<S>(device, attention, inputs(qkv.word(), h, size_of::<S>()), h)?;

        let room = || keep.then(|| alloc::<S>(device, tokens * h)).transpose();
        let (first_sum, second_sum) = (room()?, room()?);
        let [first_dropout, second_dropout] = self.options.dropout;
        let product = alloc::<f32>(device, tokens * h)?;
        let sums = Matrix::new::<f32>(product.word(), h);
        self.dense::<S>(device, &layer.attention_output, context.word(), sums, false)?;
        let normed = self.close(
            device,
            Close {
                product: &product,
                bias: &layer.attention_output.bias,
                mask: Mask::new(device, first_dropout, tokens * h)?,
                residual: &x.wide,
                norm: &layer.attention_norm,
                kept: first_sum.as_ref(),
            },
        )?;

        let (inner, active) = (alloc::<S>(device, tokens * inner_width)?, alloc::<S>(device, tokens * inner_width)?);
        self.dense::<S>(
            device,
            &layer.intermediate,
            normed.factor(),
            Matrix::new::<S>(inner.word(), inner_width),
            true,
        )?;
        let count = tokens * inner_width;
        if count > 0 {
            let (name, function) = (named!(S, "activation_forward"), layer.activation.number());
            launch!(device, "elementwise", name, over(count), inner, active, count, function);
        }
        self.dense::<S>(device, &layer.output, active.word(), sums, false)?;
        let out = self.close(
            device,
            Close {
                product: &product,
                bias: &layer.output.bias,
                mask: Mask::new(device, second_dropout, tokens * h)?,
                residual: &normed.wide,
                norm: &layer.output_norm,
                kept: second_sum.as_ref(),
            },
        )?;
        Ok((out, Kept { qkv, context, logsum, first_sum, second_sum, inner }))
    }

    /// `out = x · Wᵀ`, plus the bias if `biased`; `x` of type `S`, `out` too if it is biased.
    fn dense<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        dense: &Dense,
        x: u64,
        out: Matrix,
        biased: bool,
    ) -> Result<()> {
        let (outputs, inputs) = dense.weight.value.dims2()?;
        let weight = Weight::<S>::new(&dense.weight, device)?;
        let bias = biased.then(|| Weight::<S>::new(&dense.bias, device)).transpose()?;
        let product = Product {
            shape: [self.tokens, outputs, inputs],
            left: Matrix::new::<S>(x, inputs),
            right: Matrix::new::<S>(weight.word(), inputs).t(),
            out,
            keep: false,
            bias: bias.as_ref().map(Word::word),
        };
        product.run(device)
    }

    /// `out = dy · W`, plus what is there if `keep`.
    fn dense_backward<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        dense: &Dense,
        dy: Matrix,
        out: Matrix,
        keep: bool,
    ) -> Result<()> {
        let (outputs, inputs) = dense.weight.value.dims2()?;
        let weight = Weight::<S>::new(&dense.weight, device)?;
        let right = Matrix::new::<S>(weight.word(), inputs);
        Product { shape: [self.tokens, inputs, outputs], left: dy, right, out, keep, bias: None }.run(device)
    }

    fn close<S: DeviceNumber>(&self, device: &CudaDevice, close: Close<S>) -> Result<States<S>> {
        let (rows, width) = (self.tokens, self.hidden);
        let out = States::<S>::room(device, rows * width)?;
        if rows * width > 0 {
            let Close { product, bias, mask, residual, norm, kept } = close;
            let [bias, norm_weight, norm_bias] =
                [bias, &norm.weight, &norm.bias].map(|parameter| view(&parameter.value));
            let (name, epsilon) = (named!(S, "close_forward"), norm.epsilon as f32);
            launch!(
                device,
                "norm",
                name,
                warps(rows),
                product,
                bias?,
                mask,
                mask.scale,
                residual,
                kept,
                norm_weight?,
                norm_bias?,
                out.wide,
                out.narrow,
                rows,
                width,
                epsilon,
            );
        }
        Ok(out)
    }

    /// Gradients of the norm's input, and of the product before its dropout. Records the norm's.
    fn open<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        open: Open<S>,
        chunks: Option<&Chunks>,
    ) -> Result<(CudaSlice<f32>, CudaSlice<S>)> {
        let (rows, width) = (self.tokens, self.hidden);
        let Open { sum, dy, norm, mask, normal } = open;
        let (d, masked) = (alloc::<f32>(device, rows * width)?, alloc::<S>(device, rows * width)?);
        if rows * width > 0 {
            let stats = alloc::<f32>(device, 2 * rows)?;
            let (weight, bias) = (view(&norm.weight.value)?, view(&norm.bias.value)?);
            let (name, epsilon, centred) = (named!(S, "norm_backward"), norm.epsilon as f32, 1i32);
            launch!(
                device,
                "norm",
                name,
                warps(rows),
                sum,
                dy,
                weight,
                bias,
                d,
                stats,
                masked,
                mask,
                mask.scale,
                normal,
                rows,
                width,
                epsilon,
                centred,
            );
            if let (Some(chunks), Some(recorder)) = (chunks, &self.options.attention.recorder) {
                let numbers = [sum.word(), stats.word(), dy.word()];
                chunks.record_norm::<S>(device, recorder, (&norm.weight, Some(&norm.bias)), numbers)?;
            }
        }
        Ok((d, masked))
    }

    /// The gradient of the layer's input `x` (as a factor) from that of its result. Records the parameters' gradients.
    ///
    /// # Errors
    /// If the device fails.
    pub fn backward<S: DeviceNumber>(
        &self,
        device: &CudaDevice,
        dy: CudaSlice<f32>,
        x: u64,
        kept: &Kept<S>,
        chunks: Option<&Chunks>,
    ) -> Result<CudaSlice<f32>> {
        let (tokens, h, layer) = (self.tokens, self.hidden, self.parameters);
        let inner_width = layer.intermediate.bias.value.elem_count();
        let (Some(first_sum), Some(second_sum)) = (&kept.first_sum, &kept.second_sum) else {
            candle_core::bail!("encoder: a backward pass without a forward pass")
        };
        let [first_dropout, second_dropout] = self.options.dropout;
        let record = |dense: &Dense, dy: Matrix, x: Matrix| match &self.options.attention.recorder {
            Some(recorder) if tokens > 0 => record_weight::<S>(device, recorder, &dense.weight, dy, x),
            _ => Ok(()),
        };
        let record_biases =
            |biases: &[&Parameter], dy: u64, width: usize| match (&self.options.attention.recorder, chunks) {
                (Some(recorder), Some(chunks)) => chunks.record_biases::<S>(device, recorder, biases, dy, width),
                _ => Ok(()),
            };
        let matrix = |numbers: &CudaSlice<S>, width: usize| Matrix::new::<S>(numbers.word(), width);

        let mask = Mask::new(device, second_dropout, tokens * h)?;
        let open = Open { sum: second_sum, dy: &dy, norm: &layer.output_norm, mask, normal: None };
        let (d, d_output) = self.open(device, open, chunks)?;
        drop(dy);
        let (d_inner, active) = (alloc::<S>(device, tokens * inner_width)?, alloc::<S>(device, tokens * inner_width)?);
        let count = tokens * inner_width;
        {
            let wide = alloc::<f32>(device, count)?;
            let out = Matrix::new::<f32>(wide.word(), inner_width);
            self.dense_backward::<S>(device, &layer.output, matrix(&d_output, h), out, false)?;
            if count > 0 {
                let (name, function) = (named!(S, "activation_backward"), layer.activation.number());
                launch!(device, "elementwise", name, over(count), kept.inner, wide, d_inner, active, count, function);
            }
        }
        record(&layer.output, matrix(&d_output, h), matrix(&active, inner_width))?;
        record_biases(&[&layer.output.bias], d_output.word(), h)?;
        drop(active);
        drop(d_output);
        // The residual's gradient is in `d` already.
        let through = Matrix::new::<f32>(d.word(), h);
        self.dense_backward::<S>(device, &layer.intermediate, matrix(&d_inner, inner_width), through, true)?;
        record_biases(&[&layer.intermediate.bias], d_inner.word(), inner_width)?;

        let normed = alloc::<S>(device, tokens * h)?;
        let mask = Mask::new(device, first_dropout, tokens * h)?;
        let open = Open { sum: first_sum, dy: &d, norm: &layer.attention_norm, mask, normal: Some(&normed) };
        let (dx, d_attention) = self.open(device, open, chunks)?;
        drop(d);
        record(&layer.intermediate, matrix(&d_inner, inner_width), matrix(&normed, h))?;
        drop((normed, d_inner));
        let d_context = alloc::<S>(device, tokens * h)?;
        self.dense_backward::<S>(
            device,
            &layer.attention_output,
            matrix(&d_attention, h),
            matrix(&d_context, h),
            false,
        )?;
        record(&layer.attention_output, matrix(&d_attention, h), matrix(&kept.context, h))?;
        record_biases(&[&layer.attention_output.bias], d_attention.word(), h)?;

        let d_qkv = alloc::<S>(device, tokens * 3 * h)?;
        let output =
            Output { context: kept.context.word(), logsum: kept.logsum.word(), dy: d_context.word(), width: h };
        let (given, gradients) = (inputs(kept.qkv.word(), h, size_of::<S>()), inputs(d_qkv.word(), h, size_of::<S>()));
        self.layouts.backward::<S>(device, &self.options.attention, given, output, gradients)?;
        let through = Matrix::new::<f32>(dx.word(), h);
        for (part, dense) in layer.qkv.iter().enumerate() {
            let dy = matrix(&d_qkv, 3 * h).column(part * h);
            self.dense_backward::<S>(device, dense, dy, through, true)?;
            record(dense, dy, Matrix::new::<S>(x, h))?;
        }
        record_biases(&layer.qkv.each_ref().map(|dense| &dense.bias), d_qkv.word(), 3 * h)?;
        Ok(dx)
    }
}

/// Queries, keys and values side by side, `h` numbers of `bytes` bytes each.
fn inputs(first: u64, h: usize, bytes: usize) -> Inputs {
    Inputs { qkv: [0, 1, 2].map(|part| first + (part * h * bytes) as u64), stride: 3 * h }
}
