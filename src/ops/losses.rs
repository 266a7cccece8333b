//! Losses of logits, stable at any size of the logits. All give a scalar.

use super::composed;
use super::kernel::{slice, tensor, view};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Target of a row that has no label of its own: special tokens, later pieces of a word.
pub const IGNORE: u32 = u32::MAX;

/// Cross-entropy with PyTorch's semantics of `weight`, `label_smoothing`, `ignore_index` and mean reduction.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// A class a row; [`IGNORE`] rows do not count.
    pub targets: Vec<u32>,
    /// A weight a class; all 1 if absent.
    pub class_weights: Option<Vec<f32>>,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
}

impl CrossEntropy {
    pub(super) fn weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[class]))
    }

    /// The weight of all rows that count.
    pub(super) fn denominator(&self) -> f64 {
        let rows = self.targets.iter().filter(|&&target| target != IGNORE);
        rows.map(|&target| self.weight(target as usize)).sum()
    }
}

/// Mean cross-entropy of `logits` `[rows, classes]`; 0 if no row counts.
///
/// # Errors
/// If a target is no class, or the counts differ.
pub fn cross_entropy(logits: &Tensor, options: CrossEntropy) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    let bad = options.targets.iter().find(|&&target| target != IGNORE && target as usize >= classes);
    if rows != options.targets.len() || options.class_weights.as_ref().is_some_and(|w| w.len() != classes) {
        candle_core::bail!("cross_entropy: {} targets for logits {:?}", options.targets.len(), logits.shape());
    }
    if let Some(bad) = bad {
        candle_core::bail!("cross_entropy: target {bad} of {classes} classes");
    }
    let op = CrossEntropyOp { options, classes };
    if composed::needed(logits)? {
        return composed::cross_entropy(logits, op.shares(rows));
    }
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        return super::cuda::cross_entropy(logits, op.options);
    }
    logits.contiguous()?.apply_op1(op)
}

struct CrossEntropyOp {
    options: CrossEntropy,
    classes: usize,
}

impl CrossEntropyOp {
    /// Rows that count, with their targets.
    fn rows<'a>(&'a self, logits: &'a [f32]) -> impl Iterator<Item = (usize, &'a [f32], usize)> {
        let rows = logits.chunks_exact(self.classes).zip(&self.options.targets).enumerate();
        rows.filter(|(_, (_, target))| **target != IGNORE)
            .map(|(row, (logits, &target))| (row, logits, target as usize))
    }

    /// The loss as a sum of `-ln softmax`, each logit's times its share.
    fn shares(&self, rows: usize) -> Vec<f32> {
        let mut shares = vec![0.0; rows * self.classes];
        // Of the logits only their places matter here.
        let places = vec![0.0; rows * self.classes];
        let denominator = self.options.denominator();
        let smoothing = f64::from(self.options.label_smoothing);
        for (row, _, target) in self.rows(&places).filter(|_| denominator > 0.0) {
            for class in 0..self.classes {
                let own = if class == target { (1.0 - smoothing) * self.options.weight(class) } else { 0.0 };
                let spread = smoothing / self.classes as f64 * self.options.weight(class);
                shares[row * self.classes + class] = ((own + spread) / denominator) as f32;
            }
        }
        shares
    }
}

/// `-ln softmax` of a row, a logit at a time.
fn surprise(row: &[f32]) -> impl Fn(f32) -> f64 {
    let max = row.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max || x.is_nan() { x } else { max });
    let max = f64::from(max);
    let rest = row.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln();
    // Not (max + rest) - x: beside a huge maximum the rest would be lost.
    move |x| (max - f64::from(x)) + rest
}

impl CustomOp1 for CrossEntropyOp {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = slice(storage, layout)?;
        let smoothing = f64::from(self.options.label_smoothing);
        let mut sum = 0.0;
        for (_, row, target) in self.rows(logits) {
            let surprise = surprise(row);
            sum += (1.0 - smoothing) * self.options.weight(target) * surprise(row[target]);
            if smoothing > 0.0 {
                let spread = row.iter().enumerate().map(|(class, &x)| self.options.weight(class) * surprise(x));
                sum += smoothing / self.classes as f64 * spread.sum::<f64>();
            }
        }
        let denominator = self.options.denominator();
        let mean = if denominator > 0.0 { sum / denominator } else { 0.0 };
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = f64::from(gradient.to_scalar::<f32>()?);
        let values = view(logits)?;
        let smoothing = f64::from(self.options.label_smoothing);
        let denominator = self.options.denominator();
        // Rows may count and weigh nothing: the loss is 0 then, and so is its gradient.
        let scale = if denominator > 0.0 { gradient / denominator } else { 0.0 };
        let weights: f64 = (0..self.classes).map(|class| self.options.weight(class)).sum();
        let mut out = vec![0.0; values.len()];
        for (row, logits, target) in self.rows(&values) {
            let surprise = surprise(logits);
            let own = (1.0 - smoothing) * self.options.weight(target);
            let spread = smoothing / self.classes as f64;
            for (class, x) in logits.iter().enumerate() {
                let probability = (-surprise(*x)).exp();
                let mut d = (own + spread * weights) * probability - spread * self.options.weight(class);
                if class == target {
                    d -= own;
                }
                out[row * self.classes + class] = (scale * d) as f32;
            }
        }
        tensor(out, logits.shape()).map(Some)
    }
}

/// Mean binary cross-entropy of `logits` against targets 0 or 1 (or between), any shape.
///
/// # Errors
/// If the counts differ.
pub fn bce_with_logits(logits: &Tensor, targets: Vec<f32>, label_weights: Option<Vec<f32>>) -> Result<Tensor> {
    let labels = logits.dims().last().copied().unwrap_or(1);
    if logits.elem_count() != targets.len() || label_weights.as_ref().is_some_and(|w| w.len() != labels) {
        candle_core::bail!("bce_with_logits: {} targets for logits {:?}", targets.len(), logits.shape());
    }
    let weights = label_weights.unwrap_or_else(|| vec![1.0; labels]);
    if composed::needed(logits)? {
        let weights = weights.iter().copied().cycle().take(targets.len()).collect();
        return composed::bce_with_logits(logits, targets, weights);
    }
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        return super::cuda::bce_with_logits(logits, targets, weights);
    }
    logits.contiguous()?.apply_op1(Pointwise {
        targets,
        weights,
        // max(x, 0) - x·z + ln(1 + e^-|x|) does not overflow.
        value: |x, z| x.max(0.0) - x * z + (-x.abs()).exp().ln_1p(),
        slope: |x, z| 1.0 / (1.0 + (-x).exp()) - z,
    })
}

/// Mean squared error of `values` against targets, any shape.
///
/// # Errors
/// If the counts differ.
pub fn mse(values: &Tensor, targets: Vec<f32>) -> Result<Tensor> {
    if values.elem_count() != targets.len() {
        candle_core::bail!("mse: {} targets for values {:?}", targets.len(), values.shape());
    }
    if composed::needed(values)? {
        return composed::mse(values, targets);
    }
    #[cfg(feature = "cuda")]
    if values.device().is_cuda() {
        return super::cuda::mse(values, targets);
    }
    values.contiguous()?.apply_op1(Pointwise {
        targets,
        weights: vec![1.0],
        value: |x, z| (x - z) * (x - z),
        slope: |x, z| 2.0 * (x - z),
    })
}

/// Mean of `weight · value(x, target)`.
struct Pointwise {
    targets: Vec<f32>,
    /// Repeated over the numbers.
    weights: Vec<f32>,
    value: fn(f64, f64) -> f64,
    slope: fn(f64, f64) -> f64,
}

impl Pointwise {
    fn map<'a>(&'a self, values: &'a [f32], f: fn(f64, f64) -> f64) -> impl Iterator<Item = f64> + 'a {
        let weights = self.weights.iter().cycle();
        values.iter().zip(&self.targets).zip(weights).map(move |((&x, &z), &w)| f64::from(w) * f(x.into(), z.into()))
    }
}

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise-loss"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = slice(storage, layout)?;
        let mean = self.map(values, self.value).sum::<f64>() / values.len().max(1) as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, values: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let data = view(values)?;
        let scale = f64::from(gradient.to_scalar::<f32>()?) / data.len().max(1) as f64;
        let out = self.map(&data, self.slope).map(|slope| (scale * slope) as f32).collect();
        tensor(out, values.shape()).map(Some)
    }
}
