//! Elementwise activations.

use super::buffers::Buffer;
use super::composed;
use super::kernel::{for_rows, slice, tensor, view};
use super::math::{logistic, normal, tanh};
use super::number::Number;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// An elementwise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` (Hendrycks & Gimpel 2016), exact.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

/// 2·√(2/π): `(1 + tanh u) / 2` is the logistic function of `2u`.
const ROOT: f32 = 1.595_769;

impl Activation {
    /// By the name that Hub configurations use as `hidden_act`.
    pub fn from_hub_name(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_accurate" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }

    #[inline(always)]
    fn value_and_slope(self, x: f32) -> (f32, f32) {
        match self {
            Self::Gelu => {
                let (below, density) = normal(x);
                (x * below, below + x * density)
            }
            Self::GeluTanh => {
                let (s, slope) = logistic(ROOT * (x + 0.044_715 * x * x * x));
                (x * s, s + x * slope * ROOT * (1.0 + 0.134_145 * x * x))
            }
            Self::Relu => (x.max(0.0), f32::from(x > 0.0)),
            Self::Silu => {
                let (s, slope) = logistic(x);
                (x * s, s + x * slope)
            }
            Self::Tanh => {
                let t = tanh(x);
                (t, 1.0 - t * t)
            }
        }
    }

    /// Calls `body` with the function known to the compiler, so that loops in it become vector code.
    #[inline(always)]
    fn dispatch(self, body: impl Loop) {
        match self {
            Self::Gelu => body.run(
                #[inline(always)]
                |x| Self::Gelu.value_and_slope(x),
            ),
            Self::GeluTanh => body.run(
                #[inline(always)]
                |x| Self::GeluTanh.value_and_slope(x),
            ),
            Self::Relu => body.run(
                #[inline(always)]
                |x| Self::Relu.value_and_slope(x),
            ),
            Self::Silu => body.run(
                #[inline(always)]
                |x| Self::Silu.value_and_slope(x),
            ),
            Self::Tanh => body.run(
                #[inline(always)]
                |x| Self::Tanh.value_and_slope(x),
            ),
        }
    }

    /// `out = f(x)`.
    #[inline(always)]
    pub(super) fn forward<A: Number, B: Number>(self, x: &[A], out: &mut [B]) {
        self.dispatch(Forward { x, out });
    }

    /// `dy = dy · f'(x)` in place, and `y = f(x)` once more.
    #[inline(always)]
    pub(super) fn backward<A: Number, B: Number>(self, x: &[A], dy: &mut [f32], y: &mut [B]) {
        self.dispatch(Backward { x, dy, y });
    }
}

/// Numbers that are rounded at a time.
const RUN: usize = 256;

/// A loop over numbers that applies a function giving value and slope.
trait Loop {
    fn run(self, f: impl Fn(f32) -> (f32, f32));
}

struct Forward<'a, A, B> {
    x: &'a [A],
    out: &'a mut [B],
}

impl<A: Number, B: Number> Loop for Forward<'_, A, B> {
    #[inline(always)]
    fn run(self, f: impl Fn(f32) -> (f32, f32)) {
        let mut values = [0.0; RUN];
        for (out, x) in self.out.chunks_mut(RUN).zip(self.x.chunks(RUN)) {
            for (value, x) in values.iter_mut().zip(x) {
                *value = f(x.to_f32()).0;
            }
            B::round(&values, out);
        }
    }
}

struct Backward<'a, A, B> {
    x: &'a [A],
    dy: &'a mut [f32],
    y: &'a mut [B],
}

impl<A: Number, B: Number> Loop for Backward<'_, A, B> {
    #[inline(always)]
    fn run(self, f: impl Fn(f32) -> (f32, f32)) {
        let mut values = [0.0; RUN];
        for ((x, dy), y) in self.x.chunks(RUN).zip(self.dy.chunks_mut(RUN)).zip(self.y.chunks_mut(RUN)) {
            for ((x, dy), value) in x.iter().zip(dy).zip(&mut values) {
                let (result, slope) = f(x.to_f32());
                *dy *= slope;
                *value = result;
            }
            B::round(&values, y);
        }
    }
}

/// Applies an activation to every number of `x`, any shape.
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    if composed::needed(x)? {
        return composed::activation(x, function);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::activation(x, function);
    }
    x.contiguous()?.apply_op1(Elementwise(function))
}

struct Elementwise(Activation);

impl CustomOp1 for Elementwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let mut out = vec![0.0; x.len()];
        for_rows(
            &mut out,
            1,
            #[inline(always)]
            |first, out| self.0.forward(&x[first..first + out.len()], out),
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let xs = view(x)?;
        let xs: &[f32] = &xs;
        let mut dx = view(&gradient)?.to_vec();
        for_rows(
            &mut dx,
            1,
            #[inline(always)]
            |first, dx| {
                let mut values = Buffer::<f32>::stale(dx.len());
                self.0.backward(&xs[first..first + dx.len()], dx, &mut values);
            },
        );
        tensor(dx, x.shape()).map(Some)
    }
}
