//! The effect of one arm against another on a task.

use super::runs::Runs;
use super::statistics::{Inference, Part, RESAMPLES, holm, infer, mean, variance};
use crate::study::Arm;
use crate::study::report::{Effect, Estimate, Verdict};

/// Two arms compared on a task, seed by seed.
///
/// Runs of equal seed are pairs: they start from the same heads and the same draw of labels. The variance of the mean
/// difference has two parts. One is the variance of the differences over seeds, divided by their number. The other is that
/// of the mean difference when the test examples are resampled, the same ones for all runs. Seeds and examples are crossed
/// random effects: each part has the variance of their interaction in it, so the sum counts that twice and is too large
/// rather than too small.
pub(super) struct Comparison {
    /// Difference by seed, of the seeds that both arms have a score for; above 0 is better.
    pub differences: Vec<(u64, f64)>,
    /// Mean score of the arm that is compared with, over those seeds.
    pub base: f64,
    /// Variance of the mean difference over test examples; `None` without answers to resample.
    pub examples: Option<Part>,
}

impl Comparison {
    /// `None` if no seed has a score of both.
    pub fn new(runs: &Runs, base: &Arm, other: &Arm, task: &str) -> Option<Self> {
        let sign = runs.sign(task);
        let both = |seed: u64| Some((seed, runs.score(base, seed, task)?, runs.score(other, seed, task)?));
        let scores: Vec<(u64, f64, f64)> = runs.seeds.iter().filter_map(|seed| both(*seed)).collect();
        let differences: Vec<(u64, f64)> = scores.iter().map(|(seed, a, b)| (*seed, sign * (b - a))).collect();
        let base_score = mean(&scores.iter().map(|(_, a, _)| *a).collect::<Vec<_>>())?;
        let examples = over_examples(runs, [base, other], task, &differences);
        Some(Self { differences, base: base_score, examples })
    }

    /// The differences alone.
    pub fn values(&self) -> Vec<f64> {
        self.differences.iter().map(|(_, difference)| *difference).collect()
    }

    /// The mean difference.
    pub fn mean(&self) -> f64 {
        mean(&self.values()).unwrap_or(0.0)
    }

    /// The effect, not yet corrected for other comparisons. `pooled` is the variance of a single seed's difference, from
    /// more comparisons than this one; without it, one seed is too little to tell.
    pub fn effect(&self, pooled: Option<Part>) -> Effect {
        let seeds = pooled.or_else(|| self.seed_variance());
        let n = self.differences.len() as f64;
        let over_seeds = seeds.map(|part| Part { variance: part.variance / n, ..part });
        let value = self.mean();
        let Inference { interval, p } = match (over_seeds, self.examples) {
            (Some(seeds), Some(examples)) => infer(value, &[seeds, examples]),
            _ => Inference::default(),
        };
        let percent = (self.base > 0.0).then(|| 100.0 * value / self.base).filter(|percent| percent.is_finite());
        let difference = Estimate { value, interval };
        Effect { difference, percent, p, corrected: None, verdict: Verdict::NoEvidence }
    }

    /// Variance of one seed's difference.
    pub fn seed_variance(&self) -> Option<Part> {
        let variance = variance(&self.values())?;
        Some(Part { variance, df: self.differences.len() as f64 - 1.0 })
    }
}

/// Variance of the mean difference over resampled examples, times m / (m − 1), as a bootstrap of m examples has it too
/// small by that. Resamples on which a metric is undefined are skipped; if most are, there is too little to tell.
fn over_examples(runs: &Runs, arms: [&Arm; 2], task: &str, differences: &[(u64, f64)]) -> Option<Part> {
    let resampled = |seed: u64| Some([runs.resampled(arms[0], seed, task)?, runs.resampled(arms[1], seed, task)?]);
    let pairs: Vec<_> = differences.iter().map(|(seed, _)| resampled(*seed)).collect::<Option<_>>()?;
    let count = pairs.first()?[0].0;
    if count < 2 || pairs.iter().flatten().any(|(other, _)| *other != count) {
        return None;
    }
    let difference = |draw: usize| mean(&pairs.iter().map(|[a, b]| b.1[draw] - a.1[draw]).collect::<Vec<_>>());
    let means: Vec<f64> = (0..RESAMPLES).filter_map(difference).collect();
    if means.len() * 2 < RESAMPLES {
        return None;
    }
    let df = count as f64 - 1.0;
    Some(Part { variance: variance(&means)? * count as f64 / df, df })
}

/// The pooled variance of one seed's difference, around each comparison's own mean.
///
/// Comparisons that share an arm have correlated differences: with equal variances of the runs, differences to the same
/// arm correlate by ½, and their variances by ¼. So k comparisons of ν degrees of freedom do not have k·ν together but
/// 1 / Σᵢⱼ wᵢ wⱼ ρᵢⱼ² / max(νᵢ, νⱼ) with weights w = ν / Σν, where ρ² is taken to be ¼ for any two.
pub(super) fn pooled<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>) -> Option<Part> {
    let parts: Vec<Part> = comparisons.into_iter().filter_map(Comparison::seed_variance).collect();
    let all: f64 = parts.iter().map(|part| part.df).sum();
    let mut inverse = 0.0;
    for (i, a) in parts.iter().enumerate() {
        for (j, b) in parts.iter().enumerate() {
            let correlation = if i == j { 1.0 } else { 0.25 };
            inverse += correlation * a.df * b.df / (all * all * a.df.max(b.df));
        }
    }
    let variance = parts.iter().map(|part| part.df * part.variance).sum::<f64>() / all;
    (!parts.is_empty()).then_some(Part { variance, df: 1.0 / inverse })
}

/// Holm's correction over all effects of one kind, and what they say then at the 5 % level.
pub(super) fn correct<'a>(effects: impl IntoIterator<Item = &'a mut Effect>) {
    let mut effects: Vec<&mut Effect> = effects.into_iter().collect();
    let corrected = holm(&effects.iter().map(|effect| effect.p).collect::<Vec<_>>());
    for (effect, corrected) in effects.iter_mut().zip(corrected) {
        effect.corrected = corrected;
        effect.verdict = verdict(effect.difference.value, corrected);
    }
}

/// What a corrected p says of a value.
pub(super) fn verdict(value: f64, corrected: Option<f64>) -> Verdict {
    match corrected {
        Some(p) if p < 0.05 && value > 0.0 => Verdict::Helped,
        Some(p) if p < 0.05 && value < 0.0 => Verdict::Hurt,
        _ => Verdict::NoEvidence,
    }
}
