//! The numbers of a layer's parameters, borrowed for one pass.

use super::{Dense, EncoderLayer, Norm};
use crate::ops::kernel::{Numbers, view};
use crate::ops::layer_norm;
use crate::ops::matmul::{Matrix, Right};
use crate::ops::number::Precision;
use candle_core::Result;

/// A right operand that was laid out for this pass, or before.
pub enum Operand<'a> {
    Ready(&'a Right<'static>),
    Made(Right<'a>),
}

impl<'a> std::ops::Deref for Operand<'a> {
    type Target = Right<'a>;

    fn deref(&self) -> &Right<'a> {
        match self {
            Self::Ready(right) => right,
            Self::Made(right) => right,
        }
    }
}

/// The forward pass' right operands of a layer whose parameters do not change any more: queries, keys, values, attention
/// output, and the two halves of the feed-forward part.
pub struct FixedOperands([Right<'static>; 6]);

impl std::fmt::Debug for FixedOperands {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("FixedOperands")
    }
}

impl FixedOperands {
    /// Lays out a layer's weights for products in f32; `None` where products do not need it.
    pub fn new(layer: &EncoderLayer) -> Result<Option<Self>> {
        let numbers = LayerNumbers::new(layer)?;
        let [q, k, v] = &numbers.qkv;
        let all = [q, k, v, &numbers.attention_output, &numbers.intermediate, &numbers.output];
        let laid_out: Option<Vec<_>> = all
            .into_iter()
            .map(|dense| Right::owned(dense.transposed(), dense.inputs, dense.outputs, Precision::F32))
            .collect();
        Ok(laid_out.and_then(|rights| rights.try_into().ok()).map(Self))
    }

    /// Operand `index`, if it is of this precision.
    pub(super) fn get(&self, index: usize, precision: Precision) -> Option<&Right<'static>> {
        (precision == Precision::F32).then(|| &self.0[index])
    }
}

pub struct DenseNumbers<'a> {
    weight: Numbers<'a>,
    pub bias: Numbers<'a>,
    outputs: usize,
    inputs: usize,
}

impl<'a> DenseNumbers<'a> {
    fn new(dense: &'a Dense) -> Result<Self> {
        let (outputs, inputs) = dense.weight.value.dims2()?;
        Ok(Self { weight: view(&dense.weight.value)?, bias: view(&dense.bias.value)?, outputs, inputs })
    }

    /// The right operand of `x · Wᵀ`, laid out now unless that was done before.
    pub fn forward<'b>(&'b self, ready: Option<&'b Right<'static>>, precision: Precision) -> Operand<'b> {
        match ready {
            Some(ready) => Operand::Ready(ready),
            None => Operand::Made(Right::new(self.transposed(), self.inputs, self.outputs, precision)),
        }
    }

    fn transposed(&self) -> Matrix<'_> {
        Matrix::new(&self.weight[..], self.inputs).t()
    }

    /// The right operand of `dy · W`.
    pub fn backward(&self, precision: Precision) -> Right<'_> {
        Right::new(Matrix::new(&self.weight[..], self.inputs), self.outputs, self.inputs, precision)
    }
}

pub struct NormNumbers<'a> {
    weight: Numbers<'a>,
    bias: Numbers<'a>,
    epsilon: f32,
}

impl<'a> NormNumbers<'a> {
    fn new(norm: &'a Norm) -> Result<Self> {
        Ok(Self { weight: view(&norm.weight.value)?, bias: view(&norm.bias.value)?, epsilon: norm.epsilon as f32 })
    }

    /// Normalizes rows in place.
    #[inline(always)]
    pub fn forward(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.weight.len()) {
            layer_norm::normalize(row, &self.weight, &self.bias, self.epsilon);
        }
    }

    /// Replaces the gradients `dy` of normalized rows by those of the rows `x`; adds those of weight and bias to `sums`.
    #[inline(always)]
    pub fn backward(&self, x: &[f32], dy: &mut [f32], sums: [&mut [f32]; 2]) {
        let width = self.weight.len();
        let [dw, db] = sums;
        for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact_mut(width)) {
            layer_norm::backward(x, dy, &self.weight, self.epsilon, dw, db);
        }
    }
}

pub struct LayerNumbers<'a> {
    pub qkv: [DenseNumbers<'a>; 3],
    pub attention_output: DenseNumbers<'a>,
    pub attention_norm: NormNumbers<'a>,
    pub intermediate: DenseNumbers<'a>,
    pub output: DenseNumbers<'a>,
    pub output_norm: NormNumbers<'a>,
}

impl<'a> LayerNumbers<'a> {
    pub fn new(layer: &'a EncoderLayer) -> Result<Self> {
        let [q, k, v] = &layer.qkv;
        Ok(Self {
            qkv: [DenseNumbers::new(q)?, DenseNumbers::new(k)?, DenseNumbers::new(v)?],
            attention_output: DenseNumbers::new(&layer.attention_output)?,
            attention_norm: NormNumbers::new(&layer.attention_norm)?,
            intermediate: DenseNumbers::new(&layer.intermediate)?,
            output: DenseNumbers::new(&layer.output)?,
            output_norm: NormNumbers::new(&layer.output_norm)?,
        })
    }
}
