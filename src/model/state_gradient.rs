//! Gradients at the hidden states, on the CPU or where the model is.

use crate::error::Result;
use candle_core::{D, Device, Tensor};
use std::ops::Range;

/// One task's gradient at the states of its tokens, `[tokens, hidden]`.
pub(super) enum StateGradient {
    Host(Vec<f32>),
    Device(Tensor),
}

impl StateGradient {
    pub fn new(gradient: &Tensor) -> Result<Self> {
        Ok(match gradient.device().is_cpu() {
            true => Self::Host(gradient.flatten_all()?.to_vec1()?),
            false => Self::Device(gradient.contiguous()?.detach()),
        })
    }

    /// Inner product of two gradients at the same states.
    pub fn dot(&self, other: &Self) -> Result<f64> {
        match (self, other) {
            (Self::Host(x), Self::Host(y)) => Ok(x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()),
            (Self::Device(x), Self::Device(y)) => {
                // Sums of rows on the device, their sum in f64 here.
                let sums: Vec<f32> = (x * y)?.sum(D::Minus1)?.to_vec1()?;
                Ok(sums.into_iter().map(f64::from).sum())
            }
            _ => unreachable!("the states of one pass are in one place"),
        }
    }
}

/// The weighted sum of the tasks' gradients at all hidden states.
pub(super) enum StateSum {
    Host {
        sums: Vec<f32>,
        width: usize,
    },
    /// Sums by range of tokens.
    Device(Vec<(Range<usize>, Tensor)>),
}

impl StateSum {
    pub fn zeros(hidden: &Tensor) -> Result<Self> {
        Ok(match hidden.device() {
            Device::Cpu => Self::Host { sums: vec![0.0; hidden.elem_count()], width: hidden.dim(1)? },
            _ => Self::Device(Vec::new()),
        })
    }

    /// Adds a gradient at some tokens, times a weight.
    pub fn add(&mut self, tokens: &Range<usize>, own: &StateGradient, weight: f64) -> Result<()> {
        match (self, own) {
            (Self::Host { sums, width }, StateGradient::Host(own)) => {
                let sums = &mut sums[tokens.start * *width..tokens.end * *width];
                sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += weight as f32 * value);
            }
            (Self::Device(sums), StateGradient::Device(own)) => {
                let scaled = if weight == 1.0 { own.clone() } else { (own * weight)? };
                match sums.iter_mut().find(|(range, _)| range == tokens) {
                    Some((_, sum)) => *sum = (&*sum + scaled)?,
                    None => sums.push((tokens.clone(), scaled)),
                }
            }
            _ => unreachable!("the states of one pass are in one place"),
        }
        Ok(())
    }

    /// The sum as a tensor like `hidden`, zero where nothing was added.
    pub fn tensor(self, hidden: &Tensor) -> Result<Tensor> {
        let mut sums = match self {
            Self::Host { sums, .. } => return Ok(Tensor::from_vec(sums, hidden.shape(), hidden.device())?),
            Self::Device(sums) => sums,
        };
        sums.sort_by_key(|(range, _)| range.start);
        let (tokens, width) = hidden.dims2()?;
        let (mut pieces, mut end) = (Vec::new(), 0);
        let zeros = |rows: usize| Tensor::zeros((rows, width), hidden.dtype(), hidden.device());
        for (range, sum) in sums {
            if range.start > end {
                pieces.push(zeros(range.start - end)?);
            }
            end = range.end;
            pieces.push(sum);
        }
        if tokens > end {
            pieces.push(zeros(tokens - end)?);
        }
        Ok(if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(&pieces, 0)? })
    }
}
