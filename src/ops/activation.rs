//! Elementwise activations.

use super::kernel::{for_rows, slice, tensor, view};
use super::math::{logistic, normal, tanh};
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
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Gelu => x * normal(x).0,
            Self::GeluTanh => x * logistic(ROOT * (x + 0.044_715 * x * x * x)).0,
            Self::Relu => x.max(0.0),
            Self::Silu => x * logistic(x).0,
            Self::Tanh => tanh(x),
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Gelu => {
                let (below, density) = normal(x);
                below + x * density
            }
            Self::GeluTanh => {
                let (s, slope) = logistic(ROOT * (x + 0.044_715 * x * x * x));
                s + x * slope * ROOT * (1.0 + 0.134_145 * x * x)
            }
            Self::Relu => f32::from(x > 0.0),
            Self::Silu => {
                let (s, slope) = logistic(x);
                s + x * slope
            }
            Self::Tanh => {
                let t = tanh(x);
                1.0 - t * t
            }
        }
    }
}

/// Applies an activation to every number of `x`, any shape.
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Elementwise(function))
}

struct Elementwise(Activation);

impl Elementwise {
    /// `out[i] = f(x[i], i)`; the match stands outside of the loop so that each arm is vector code.
    fn map(&self, x: &[f32], f: impl Fn(Activation, f32, usize) -> f32 + Sync) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for_rows(
            &mut out,
            1,
            #[inline(always)]
            |first, out| {
                macro_rules! run {
                    ($function:expr) => {
                        for (i, (out, x)) in out.iter_mut().zip(&x[first..]).enumerate() {
                            *out = f($function, *x, first + i);
                        }
                    };
                }
                match self.0 {
                    Activation::Gelu => run!(Activation::Gelu),
                    Activation::GeluTanh => run!(Activation::GeluTanh),
                    Activation::Relu => run!(Activation::Relu),
                    Activation::Silu => run!(Activation::Silu),
                    Activation::Tanh => run!(Activation::Tanh),
                }
            },
        );
        out
    }
}

impl CustomOp1 for Elementwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let out = self.map(
            x,
            #[inline(always)]
            |function, x, _| function.value(x),
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (dy, xs) = (view(&gradient)?, view(x)?);
        let dy: &[f32] = &dy;
        let dx = self.map(
            &xs,
            #[inline(always)]
            |function, x, i| dy[i] * function.slope(x),
        );
        tensor(dx, x.shape()).map(Some)
    }
}
