//! Linear layers, activations, gates and rotary positions on the device.

use super::launch::{Word, alloc, device, device_of, launch, over, slice, stored, tensor, upload, view};
use super::product::{Matrix, Product};
use super::weights::{Chunks, record_weight};
use crate::gradient::{Parameter, Recorder};
use crate::ops::Activation;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    recorder: Option<Recorder>,
}

/// As [`linear`](super::super::linear), which has checked the shapes.
pub fn linear(x: &Tensor, weight: &Parameter, bias: Option<&Parameter>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let op = Linear { weight: weight.clone(), bias: bias.cloned(), recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = device(storage);
        let (outputs, inputs) = self.weight.value.dims2()?;
        let rows = layout.shape().dims2()?.0;
        let y = alloc::<f32>(&device, rows * outputs)?;
        let weight = view(&self.weight.value)?;
        let bias = self.bias.as_ref().map(|bias| view(&bias.value)).transpose()?;
        let product = Product {
            shape: [rows, outputs, inputs],
            left: Matrix::new::<f32>(slice(storage, layout)?, inputs),
            right: Matrix::new::<f32>(weight.word(), inputs).t(),
            out: Matrix::new::<f32>(y.word(), outputs),
            keep: false,
            bias: bias.as_ref().map(Word::word),
        };
        product.run(&device)?;
        Ok(stored(y, &device, (rows, outputs)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient) = (device_of(x)?, gradient.contiguous()?);
        let (outputs, inputs) = self.weight.value.dims2()?;
        let rows = x.dim(0)?;
        let (dys, xs) = (view(&gradient)?, view(x)?);
        let (dy, x_matrix) = (Matrix::new::<f32>(dys.word(), outputs), Matrix::new::<f32>(xs.word(), inputs));
        if let Some(recorder) = self.recorder.as_ref().filter(|_| rows > 0) {
            record_weight::<f32>(&device, recorder, &self.weight, dy, x_matrix)?;
            if let Some(bias) = &self.bias {
                Chunks::new(&device, recorder)?.record_biases::<f32>(
                    &device,
                    recorder,
                    &[bias],
                    dys.word(),
                    outputs,
                )?;
            }
        }
        if !x.track_op() {
            return Ok(None);
        }
        let dx = alloc::<f32>(&device, rows * inputs)?;
        let product = Product {
            shape: [rows, inputs, outputs],
            left: dy,
            right: Matrix::new::<f32>(view(&self.weight.value)?.word(), inputs),
            out: Matrix::new::<f32>(dx.word(), inputs),
            keep: false,
            bias: None,
        };
        product.run(&device)?;
        Ok(Some(tensor(dx, &device, (rows, inputs))))
    }
}

impl Activation {
    /// As `Function` in elementwise.cu.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Gelu => 0,
            Self::GeluTanh => 1,
            Self::Relu => 2,
            Self::Silu => 3,
            Self::Tanh => 4,
        }
    }
}

struct Elementwise(Activation);

/// As [`activation`](super::super::activation).
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Elementwise(function))
}

impl CustomOp1 for Elementwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, count) = (device(storage), layout.shape().elem_count());
        let y = alloc::<f32>(&device, count)?;
        if count > 0 {
            let (x, function) = (slice(storage, layout)?, self.0.number());
            launch!(&device, "elementwise", "activation_forward_f32", over(count), x, y, count, function);
        }
        Ok(stored(y, &device, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient, count) = (device_of(x)?, gradient.contiguous()?, x.elem_count());
        let dx = alloc::<f32>(&device, count)?;
        if count > 0 {
            let (xs, dy, none) = (view(x)?, view(&gradient)?, 0u64);
            let function = self.0.number();
            launch!(&device, "elementwise", "activation_backward_f32", over(count), xs, dy, dx, none, count, function,);
        }
        Ok(Some(tensor(dx, &device, x.shape())))
    }
}

struct SwiGlu;

/// As [`swiglu`](super::super::swiglu), which has checked the shapes.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, count) = (device(s1), l1.shape().elem_count());
        let y = alloc::<f32>(&device, count)?;
        if count > 0 {
            let (gate, up) = (slice(s1, l1)?, slice(s2, l2)?);
            launch!(&device, "elementwise", "swiglu_forward", over(count), gate, up, y, count);
        }
        Ok(stored(y, &device, l1.shape()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (device, gradient, count) = (device_of(gate)?, gradient.contiguous()?, gate.elem_count());
        let (dgate, dup) = (alloc::<f32>(&device, count)?, alloc::<f32>(&device, count)?);
        if count > 0 {
            let (gates, ups, dy) = (view(gate)?, view(up)?, view(&gradient)?);
            launch!(&device, "elementwise", "swiglu_backward", over(count), gates, ups, dy, dgate, dup, count);
        }
        Ok((Some(tensor(dgate, &device, gate.shape())), Some(tensor(dup, &device, up.shape()))))
    }
}

struct Rotary {
    /// Sine and cosine of each angle, `[tokens, d / 2]`.
    turns: Vec<f32>,
    d: usize,
}

/// As [`rotary`](super::super::rotary), from the sine and cosine of each angle, `[tokens, d / 2]`.
pub fn rotary(x: &Tensor, turns: &[[f32; 2]], d: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Rotary { turns: turns.as_flattened().to_vec(), d })
}

impl Rotary {
    fn turn(&self, device: &CudaDevice, x: u64, shape: &Shape, sign: f32) -> Result<CudaSlice<f32>> {
        let (tokens, width) = shape.dims2()?;
        let y = alloc::<f32>(device, tokens * width)?;
        if tokens * width > 0 {
            let (turns, d) = (upload(device, &self.turns)?, self.d);
            launch!(device, "elementwise", "rotary", over(tokens * width), x, turns, y, tokens, width, d, sign);
        }
        Ok(y)
    }
}

impl CustomOp1 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = device(storage);
        let y = self.turn(&device, slice(storage, layout)?, layout.shape(), 1.0)?;
        Ok(stored(y, &device, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient) = (device_of(x)?, gradient.contiguous()?);
        let dx = self.turn(&device, view(&gradient)?.word(), x.shape(), -1.0)?;
        Ok(Some(tensor(dx, &device, x.shape())))
    }
}
