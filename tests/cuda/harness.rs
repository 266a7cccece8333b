//! Runs an op on the CPU and on the device, and compares everything that it leaves.

use crate::device;
use crate::support::Random;
use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use mtl_zoo::gradient::{Arena, GradientStore, Owner, Parameter, Recorder};
use std::ops::Range;
use std::sync::Arc;

/// Inputs `[rows, columns]` and named parameters of an op.
pub struct Case {
    pub inputs: Vec<([usize; 2], Vec<f32>)>,
    pub parameters: Vec<(&'static str, Vec<usize>, Owner, Vec<f32>)>,
    /// Rows of the op's input.
    pub rows: usize,
}

/// What an op is called with.
pub struct Call<'a> {
    pub inputs: Vec<Tensor>,
    arena: &'a Arena,
    pub recorder: Option<Recorder>,
    pub root: Var,
}

impl Call<'_> {
    pub fn parameter(&self, name: &str) -> Parameter {
        self.arena.get(name).unwrap()
    }
}

/// What an op leaves: its result, gradients of inputs, gradient rows.
struct Left {
    parts: Vec<(String, Vec<f32>)>,
}

type Store = fn(&Arena, usize) -> GradientStore;

/// How rows are kept: the store, whether tasks have rows of their own, and whether those are in bf16.
const STORES: [(Store, bool, bool); 3] =
    [(GradientStore::new, false, false), (GradientStore::new, true, false), (GradientStore::in_bf16, true, true)];

/// How far the device may be from the CPU, relative to the largest number of each part.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub numbers: f64,
    /// Of gradient rows in bf16.
    pub bf16_rows: f64,
}

pub const F32: Tolerance = Tolerance { numbers: 1e-5, bf16_rows: 1e-2 };

/// Three tasks, of which one has a single row; a gradient row between them that nobody writes.
fn spans(rows: usize) -> Vec<(usize, Range<usize>)> {
    let (first, second) = (rows / 3, (rows / 3 + 1).min(rows));
    vec![(0, 0..first), (1, first..second), (3, second..rows)]
}

impl Case {
    pub fn new(inputs: Vec<([usize; 2], Vec<f32>)>, parameters: Vec<(&'static str, Vec<usize>, Vec<f32>)>) -> Self {
        let rows = inputs.first().map_or(0, |(shape, _)| shape[0]);
        let shared = |(name, shape, values)| (name, shape, Owner::Shared, values);
        Self { inputs, parameters: parameters.into_iter().map(shared).collect(), rows }
    }

    fn run(
        &self,
        device: &Device,
        store: fn(&Arena, usize) -> GradientStore,
        split: bool,
        op: &impl Fn(&Call) -> Result<Tensor>,
    ) -> Left {
        let parameters = self.parameters.iter().map(|(name, shape, owner, values)| {
            (name.to_string(), Shape::from(shape.as_slice()), *owner, values.clone())
        });
        let arena = Arena::on(device, parameters.collect()).unwrap();
        let store = Arc::new(store(&arena, 4));
        let recorder = match split {
            true => Recorder::split(&store, spans(self.rows)),
            false => Recorder::joint(&store, self.rows),
        };
        // A view that does not begin where its storage does, so that nothing is aligned by chance.
        let vars: Vec<Var> = self
            .inputs
            .iter()
            .map(|(shape, values)| {
                let padded = [&[7.0], &values[..]].concat();
                let flat = Tensor::from_vec(padded, shape[0] * shape[1] + 1, device).unwrap();
                Var::from_tensor(&flat).unwrap()
            })
            .collect();
        let inputs = vars.iter().zip(&self.inputs).map(|(var, (shape, _))| {
            var.narrow(0, 1, shape[0] * shape[1]).unwrap().reshape((shape[0], shape[1])).unwrap()
        });
        let root = Var::zeros(1, DType::F32, device).unwrap();
        let call = Call { inputs: inputs.collect(), arena: &arena, recorder: Some(recorder), root };
        let mut parts = Vec::new();
        // Twice: the second backward pass adds to what the first wrote.
        for pass in 0..2u64 {
            let out = op(&call).unwrap();
            if out.elem_count() == 0 {
                // candle's own ops do not launch on nothing.
                parts.push((format!("{:?}", out.shape()), Vec::new()));
                continue;
            }
            let cotangent = Random(99 + pass).numbers(out.elem_count());
            let by = Tensor::from_vec(cotangent, out.shape(), device).unwrap();
            let gradients = (&out * by).unwrap().sum_all().unwrap().backward().unwrap();
            if pass == 0 {
                parts.push(("result".into(), out.flatten_all().unwrap().to_vec1().unwrap()));
                for (index, var) in vars.iter().enumerate() {
                    let gradient = gradients.get(var).map(|gradient| gradient.to_vec1().unwrap());
                    parts.push((format!("gradient of input {index}"), gradient.unwrap_or_default()));
                }
            }
        }
        let mut rows = store.lock();
        rows.finish().unwrap();
        rows.fetch().unwrap();
        for (name, entry) in arena.entries() {
            for row in 0..rows.shared.len() {
                let of = if entry.slot.owner == Owner::Head { 0 } else { row };
                parts.push((format!("gradient row {row} of {name}"), rows.gradient(entry.slot, of)));
            }
        }
        Left { parts }
    }

    /// Compares both, with a joint gradient, with one a task in f32, and in bf16; gives the largest error of the f32 ones.
    pub fn compare(&self, name: &str, tolerance: Tolerance, op: impl Fn(&Call) -> Result<Tensor>) -> f64 {
        let Some(device) = device() else { return 0.0 };
        let mut worst = 0.0f64;
        for (store, split, bf16) in STORES {
            let [cpu, card] = [&Device::Cpu, &device].map(|device| self.run(device, store, split, &op));
            assert_eq!(cpu.parts.len(), card.parts.len());
            for ((what, expected), (_, found)) in cpu.parts.iter().zip(&card.parts) {
                let bound = match bf16 && what.starts_with("gradient row") {
                    true => tolerance.numbers.max(tolerance.bf16_rows),
                    false => tolerance.numbers,
                };
                let error = difference(found, expected);
                assert!(error <= bound, "{name}: {what} differs by {error:.1e} (split {split}, rows in bf16 {bf16})");
                worst = worst.max(if bound == tolerance.numbers { error } else { 0.0 });
            }
        }
        worst
    }

    /// For an op that rounds to bf16 on its way, if it is told to: the device is about as far from the exact op as the CPU is. Gives the
    /// largest ratio.
    pub fn compare_rounded(&self, name: &str, op: impl Fn(&Call, bool) -> Result<Tensor>) -> f64 {
        let Some(device) = device() else { return 0.0 };
        let mut worst = 0.0f64;
        for (store, split, bf16) in STORES {
            let exact = self.run(&Device::Cpu, store, split, &|call: &Call| op(call, false));
            let [cpu, card] =
                [&Device::Cpu, &device].map(|device| self.run(device, store, split, &|call: &Call| op(call, true)));
            for (((what, exact), (_, cpu)), (_, card)) in exact.parts.iter().zip(&cpu.parts).zip(&card.parts) {
                let [cpu, card] = [cpu, card].map(|rounded| distance(rounded, exact));
                assert!(card < 0.05, "{name}: {what} is {card:.1e} from the exact one (split {split}, bf16 {bf16})");
                // Sums that cancel, such as the gradients of the keys' biases, are nothing but rounding; the device takes a row's
                // delta from the rounded context, which leaves more of it.
                let cancels = exact.iter().all(|x| x.abs() < 1e-4);
                // Below some units of bf16's last place the ratio says nothing.
                let ratio = if cancels { 0.0 } else { card / cpu.max(1e-2) };
                assert!(ratio < 2.5, "{name}: {what} differs by {card:.1e}, on the CPU by {cpu:.1e} (split {split})");
                worst = worst.max(ratio);
            }
        }
        worst
    }
}

impl Case {
    /// For an op that rounds on its way, if it is told to: how far the device is from the exact op, `most` at most. Gradient rows are
    /// in f32.
    pub fn compare_near(&self, name: &str, most: f64, op: impl Fn(&Call, bool) -> Result<Tensor>) -> f64 {
        let Some(device) = device() else { return 0.0 };
        let mut worst = 0.0f64;
        for (store, split, _) in STORES.into_iter().filter(|(.., bf16)| !bf16) {
            let exact = self.run(&Device::Cpu, store, split, &|call: &Call| op(call, false));
            let card = self.run(&device, store, split, &|call: &Call| op(call, true));
            for ((what, exact), (_, card)) in exact.parts.iter().zip(&card.parts) {
                let error = distance(card, exact);
                assert!(error <= most, "{name}: {what} is {error:.1e} from the exact one (split {split})");
                worst = worst.max(error);
            }
        }
        worst
    }
}

/// Euclidean distance over the length of what is expected, which may be zero but for rounding.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let length = norm(&mut expected.iter().map(|&x| f64::from(x)));
    let floor = 0.1 * (expected.len() as f64).sqrt();
    if difference.is_nan() { f64::INFINITY } else { difference / length.max(floor).max(f64::MIN_POSITIVE) }
}

/// Largest difference over the largest number. Some gradients are zero but for rounding, such as those of the keys' biases.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.1f64, |max, x| max.max(f64::from(x.abs())));
    let worst = found.iter().zip(expected).fold(0.0f64, |max, (a, b)| {
        let difference = f64::from((a - b).abs());
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    });
    worst / largest
}

/// Cuts `tokens` into sequences of at most `longest`.
pub fn starts(tokens: usize, longest: usize, random: &mut Random) -> Vec<u32> {
    let mut starts = vec![0u32];
    while (starts[starts.len() - 1] as usize) < tokens {
        let left = tokens - starts[starts.len() - 1] as usize;
        starts.push(starts[starts.len() - 1] + 1 + random.below(left.min(longest)) as u32);
    }
    starts
}

/// Shapes `[rows, columns]`: nothing, one number, one row, odd sizes, widths of vector loads, more than one chunk of rows.
pub fn shapes(random: &mut Random) -> Vec<[usize; 2]> {
    let mut shapes = vec![[0, 5], [1, 1], [1, 7], [33, 1], [200, 40], [70, 260]];
    shapes.extend((0..5).map(|_| [1 + random.below(70), 1 + random.below(50)]));
    shapes
}
