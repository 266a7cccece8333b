//! Finite differences of an op, with respect to inputs and parameters.

use crate::support::{Random, device, fetched};
use candle_core::{Result, Shape, Tensor, Var};
use mtl_zoo::gradient::{Arena, GradientStore, Owner, Parameter, Recorder};
use std::sync::Arc;

/// How an input lies in memory before the op sees it.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    Plain,
    /// Columns first.
    Transposed,
    /// A part of the columns of a wider tensor.
    Columns,
    /// Contiguous, but not at the start of its storage.
    Rows,
}

pub const LAYOUTS: [Layout; 4] = [Layout::Plain, Layout::Transposed, Layout::Columns, Layout::Rows];

/// Inputs `[rows, columns]` and named parameters of an op.
pub struct Case {
    pub inputs: Vec<([usize; 2], Vec<f32>)>,
    pub parameters: Vec<(&'static str, Vec<usize>, Vec<f32>)>,
}

/// What an op is called with.
pub struct Call<'a> {
    pub inputs: Vec<Tensor>,
    arena: &'a Arena,
    pub recorder: Option<Recorder>,
    /// For ops without inputs.
    pub root: Option<Var>,
}

impl Call<'_> {
    pub fn parameter(&self, name: &str) -> Parameter {
        self.arena.get(name).unwrap()
    }
}

fn var(layout: Layout, [rows, columns]: [usize; 2], values: &[f32]) -> (Var, Tensor) {
    let plain = Tensor::from_slice(values, (rows, columns), &device()).unwrap();
    let pad = |dim, size: usize| {
        let mut shape = [rows, columns];
        shape[dim] = size;
        Tensor::full(7.0f32, &shape, &device()).unwrap()
    };
    let held = match layout {
        Layout::Plain => plain,
        Layout::Transposed => plain.t().unwrap().contiguous().unwrap(),
        Layout::Columns => Tensor::cat(&[&pad(1, 2), &plain, &pad(1, 1)], 1).unwrap(),
        Layout::Rows => Tensor::cat(&[&pad(0, 2), &plain, &pad(0, 1)], 0).unwrap(),
    };
    let var = Var::from_tensor(&held).unwrap();
    let view = match layout {
        Layout::Plain => var.as_tensor().clone(),
        Layout::Transposed => var.t().unwrap(),
        Layout::Columns => var.narrow(1, 2, columns).unwrap(),
        Layout::Rows => var.narrow(0, 2, rows).unwrap(),
    };
    (var, view)
}

/// The part of the gradient of `var` that the op saw.
fn seen(layout: Layout, [rows, columns]: [usize; 2], gradient: &Tensor) -> Vec<f32> {
    let view = match layout {
        Layout::Plain => gradient.clone(),
        Layout::Transposed => gradient.t().unwrap(),
        Layout::Columns => gradient.narrow(1, 2, columns).unwrap(),
        Layout::Rows => gradient.narrow(0, 2, rows).unwrap(),
    };
    view.flatten_all().unwrap().to_vec1().unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

impl Case {
    fn arena(&self) -> Arena {
        let parameter = |(name, shape, values): &(&str, Vec<usize>, Vec<f32>)| {
            (name.to_string(), Shape::from(shape.as_slice()), Owner::Shared, values.clone())
        };
        Arena::on(&device(), self.parameters.iter().map(parameter).collect()).unwrap()
    }

    /// Compares the gradients of a random weighing of the op's outputs with differences quotients along random
    /// directions, in every layout; gives the largest error relative to a typical directional derivative.
    pub fn check(&self, name: &str, random: &mut Random, op: impl Fn(&Call) -> Result<Tensor>) -> f64 {
        // Candle itself cannot read an empty view that starts inside.
        let empty = self.inputs.iter().any(|(shape, _)| shape[0] == 0);
        let layouts = LAYOUTS.iter().filter(|layout| !empty || !matches!(layout, Layout::Columns));
        let checks = layouts.map(|&layout| self.check_layout(name, layout, random, &op));
        checks.fold(0.0, f64::max)
    }

    fn check_layout(
        &self,
        name: &str,
        layout: Layout,
        random: &mut Random,
        op: impl Fn(&Call) -> Result<Tensor>,
    ) -> f64 {
        let arena = self.arena();
        let store = Arc::new(GradientStore::new(&arena, 1));
        let (vars, views): (Vec<_>, Vec<_>) =
            self.inputs.iter().map(|(shape, values)| var(layout, *shape, values)).unzip();
        let rows = self.inputs.first().map_or(usize::MAX >> 1, |(shape, _)| shape[0]);
        let recorder = Some(Recorder::joint(&store, rows));
        let root = Some(Var::zeros(1, candle_core::DType::F32, &device()).unwrap());
        let out = op(&Call { inputs: views, arena: &arena, recorder, root }).unwrap();
        let cotangent = random.numbers(out.elem_count());
        // The gradient comes back transposed as well: ops have to cope.
        let by = Tensor::from_slice(&cotangent, out.shape(), &device()).unwrap();
        let loss = match out.rank() {
            2 => (out.t().unwrap().contiguous().unwrap() * by.t().unwrap().contiguous().unwrap()).unwrap(),
            _ => (&out * by).unwrap(),
        };
        let gradients = loss.sum_all().unwrap().backward().unwrap();

        let objective = |inputs: &[Vec<f32>]| -> f64 {
            let input = |((shape, _), values): (&([usize; 2], Vec<f32>), &Vec<f32>)| {
                Tensor::from_slice(values, (shape[0], shape[1]), &device()).unwrap()
            };
            let inputs = self.inputs.iter().zip(inputs).map(input).collect();
            let out = op(&Call { inputs, arena: &arena, recorder: None, root: None }).unwrap();
            dot(&out.flatten_all().unwrap().to_vec1::<f32>().unwrap(), &cotangent)
        };
        let start: Vec<Vec<f32>> = self.inputs.iter().map(|(_, values)| values.clone()).collect();
        let flat = arena.snapshot().unwrap();
        let size = norm(&out.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let compare = |what: &str, gradient: &[f32], direction: &[f32], at: &dyn Fn(f32) -> f64| {
            let expected = dot(gradient, direction);
            // Five points: the error is of fourth order, so that the step can be long against rounding.
            let h = 0.02;
            let (near, far) = (at(h) - at(-h), at(2.0 * h) - at(-2.0 * h));
            let measured = (8.0 * near - far) / (12.0 * f64::from(h));
            let typical = norm(gradient) * norm(direction) / (direction.len().max(1) as f64).sqrt();
            let error = (measured - expected).abs();
            let noise = 1e-6 * size / f64::from(h);
            assert!(
                error <= 2e-3 * typical + noise,
                "{name}, {layout:?}: {what}: {measured} is not {expected} (typical {typical:e}, noise {noise:e})"
            );
            if typical > 100.0 * noise { error / typical } else { 0.0 }
        };

        let mut worst = 0.0f64;
        for (index, (shape, values)) in self.inputs.iter().enumerate() {
            let gradient = match gradients.get(&vars[index]) {
                Some(gradient) => seen(layout, *shape, gradient),
                None => vec![0.0; values.len()],
            };
            let direction = random.numbers(values.len());
            let at = |h: f32| {
                let mut moved = start.clone();
                moved[index].iter_mut().zip(&direction).for_each(|(value, d)| *value += h * d);
                objective(&moved)
            };
            worst = worst.max(compare(&format!("input {index}"), &gradient, &direction, &at));
        }
        for (name, entry) in arena.entries() {
            let direction = random.numbers(entry.slot.len);
            let gradient = fetched(&store).gradient(entry.slot, 0);
            let at = |h: f32| {
                let mut moved = flat.clone();
                let values = &mut moved[entry.slot.offset..][..entry.slot.len];
                values.iter_mut().zip(&direction).for_each(|(value, d)| *value += h * d);
                arena.restore(&moved).unwrap();
                let value = objective(&start);
                arena.restore(&flat).unwrap();
                value
            };
            worst = worst.max(compare(name, &gradient, &direction, &at));
        }
        worst
    }
}
