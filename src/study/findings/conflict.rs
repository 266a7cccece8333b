//! Gradients that point against each other.

use super::effect::verdict;
use super::numbers;
use super::runs::Runs;
use super::statistics::{Inference, Part, holm, infer, mean, variance};
use crate::study::report::{Conflict, Estimate, LayerConflict, PairConflict, Verdict};
use crate::study::{Cosines, RunResult};
use indexmap::{IndexMap, IndexSet};

/// Blocks of steps of a single run, whose means count as independent.
const BLOCKS: usize = 10;

/// What the recipe's joint runs tell of the tasks' gradients; `None` if none was measured.
///
/// An interval is over seeds, or with one seed over the means of ten blocks of steps. Holm's correction is over pairs, and
/// over parts of the backbone.
pub(super) fn conflict(runs: &Runs) -> Option<Conflict> {
    let joint = runs.of(&runs.recipe_arm());
    let names: IndexSet<&String> =
        joint.iter().flat_map(|run| &run.conflicts).flat_map(|step| step.layers.keys()).collect();
    let tasks: Vec<&String> = runs.tasks().collect();
    let mut pairs = Vec::new();
    let mut tests = Vec::new();
    let mut by_layer: IndexMap<&String, Vec<Vec<Vec<f64>>>> = names.iter().map(|name| (*name, Vec::new())).collect();
    for (at, first) in tasks.iter().enumerate() {
        for second in &tasks[at + 1..] {
            let pair = [first.as_str(), second.as_str()];
            let whole: Vec<Series> = joint.iter().map(|run| series(run, pair, None)).collect();
            let Some(value) = mean_of_means(&values(&whole)) else { continue };
            let found = over_seeds(&values(&whole)).map(|part| infer(value, &[part])).unwrap_or_default();
            let all = values(&whole).concat();
            let mut layers = IndexMap::new();
            for (name, of_layer) in &mut by_layer {
                let cosines: Vec<Vec<f64>> =
                    values(&joint.iter().map(|run| series(run, pair, Some(name))).collect::<Vec<_>>());
                layers.insert((*name).clone(), mean_of_means(&cosines));
                of_layer.push(cosines);
            }
            pairs.push(PairConflict {
                tasks: pair.map(String::from),
                cosine: Estimate { value, interval: found.interval },
                share: below(&all),
                measured: all.len(),
                over_time: over_time(&whole),
                layers,
                verdict: Verdict::NoEvidence,
            });
            tests.push(found.p);
        }
    }
    for (pair, corrected) in pairs.iter_mut().zip(holm(&tests)) {
        pair.verdict = verdict(pair.cosine.value, corrected);
    }
    let layers = layers(&by_layer);
    (!pairs.is_empty()).then(|| Conflict { finding: finding(&pairs, &layers), pairs, layers })
}

/// Cosines of one pair in one run: the tenth of the run, and the value.
type Series = Vec<(usize, f64)>;

fn series(run: &RunResult, pair: [&str; 2], layer: Option<&str>) -> Series {
    let [Some(row), Some(column)] = pair.map(|task| run.tasks.get_index_of(task)) else { return Vec::new() };
    let mut steps: Vec<_> = run.conflicts.iter().collect();
    steps.sort_by_key(|step| step.step);
    let value = |step: &&Cosines| {
        let matrix = match layer {
            Some(layer) => step.layers.get(layer)?,
            None => &step.whole,
        };
        let cosine = (*matrix.get(row)?.get(column)?).filter(|cosine| cosine.is_finite())?;
        Some(((10 * step.step / run.steps.max(1)).min(9), cosine))
    };
    steps.iter().filter_map(value).collect()
}

/// By seed, of the seeds that have any.
fn values(series: &[Series]) -> Vec<Vec<f64>> {
    let values = series.iter().map(|series| series.iter().map(|(_, cosine)| *cosine).collect::<Vec<_>>());
    values.filter(|values| !values.is_empty()).collect()
}

fn means(seeds: &[Vec<f64>]) -> Vec<f64> {
    seeds.iter().filter_map(|values| mean(values)).collect()
}

fn mean_of_means(seeds: &[Vec<f64>]) -> Option<f64> {
    mean(&means(seeds))
}

fn below(values: &[f64]) -> f64 {
    values.iter().filter(|cosine| **cosine < 0.0).count() as f64 / values.len().max(1) as f64
}

/// Variance of the mean over seeds; of a single seed over the means of blocks of its steps, if it has enough.
fn over_seeds(seeds: &[Vec<f64>]) -> Option<Part> {
    let means = match seeds {
        [run] if run.len() >= BLOCKS => {
            let block = |at: usize| &run[at * run.len() / BLOCKS..(at + 1) * run.len() / BLOCKS];
            (0..BLOCKS).filter_map(|at| mean(block(at))).collect()
        }
        _ => means(seeds),
    };
    let n = means.len() as f64;
    variance(&means).map(|variance| Part { variance: variance / n, df: n - 1.0 })
}

fn over_time(runs: &[Series]) -> Vec<Option<f64>> {
    let of_tenth = |tenth| {
        let cosines = runs.iter().flatten().filter(|(at, _)| *at == tenth).map(|(_, cosine)| *cosine);
        mean(&cosines.collect::<Vec<_>>())
    };
    (0..10).map(of_tenth).collect()
}

/// Each part's mean over pairs. It conflicts if that is below 0 beyond what seeds and pairs vary: the variances over both
/// are added, as if the pairs were drawn from more, which is careful.
fn layers(by_layer: &IndexMap<&String, Vec<Vec<Vec<f64>>>>) -> Vec<LayerConflict> {
    let mut layers = Vec::new();
    let mut tests = Vec::new();
    for (name, pairs) in by_layer {
        let of_pairs: Vec<f64> = pairs.iter().filter_map(|seeds| mean_of_means(seeds)).collect();
        let Some(cosine) = mean(&of_pairs) else { continue };
        let all: Vec<f64> = pairs.iter().flatten().flatten().copied().collect();
        let n = of_pairs.len() as f64;
        let over_pairs = variance(&of_pairs).map(|variance| Part { variance: variance / n, df: n - 1.0 });
        let found = match over_seeds(&mean_over_pairs(pairs)) {
            Some(over_seeds) => infer(cosine, &std::iter::once(over_seeds).chain(over_pairs).collect::<Vec<_>>()),
            None => Inference::default(),
        };
        layers.push(LayerConflict { layer: (*name).clone(), cosine, share: below(&all), conflicting: false });
        tests.push(found.p);
    }
    for (layer, corrected) in layers.iter_mut().zip(holm(&tests)) {
        layer.conflicting = verdict(layer.cosine, corrected) == Verdict::Hurt;
    }
    layers
}

/// By seed, the mean over pairs at each measurement.
fn mean_over_pairs(pairs: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let seeds = pairs.iter().map(Vec::len).max().unwrap_or(0);
    let of_seed = |seed: usize| {
        let runs: Vec<&Vec<f64>> = pairs.iter().filter_map(|pair| pair.get(seed)).collect();
        let steps = runs.iter().map(|run| run.len()).max().unwrap_or(0);
        let at = |step: usize| mean(&runs.iter().filter_map(|run| run.get(step).copied()).collect::<Vec<_>>());
        (0..steps).filter_map(at).collect()
    };
    (0..seeds).map(of_seed).collect()
}

fn finding(pairs: &[PairConflict], layers: &[LayerConflict]) -> String {
    let conflicting: Vec<&str> =
        layers.iter().filter(|layer| layer.conflicting).map(|layer| layer.layer.as_str()).collect();
    let against: Vec<String> = pairs
        .iter()
        .filter(|pair| pair.verdict == Verdict::Hurt)
        .map(|pair| {
            format!("{} against {} (mean cosine {})", pair.tasks[0], pair.tasks[1], numbers::score(pair.cosine.value))
        })
        .collect();
    let of_layers = match (layers.len(), conflicting.len()) {
        (0, _) => String::new(),
        (_, 0) if against.is_empty() => {
            "No layer's gradients conflict beyond chance: sharing all of them is supported.".into()
        }
        (_, 0) => "No layer's gradients conflict beyond chance over all pairs.".into(),
        (all, some) if all == some => {
            "The tasks' gradients conflict beyond chance in every layer: sharing any of them is in doubt.".into()
        }
        _ => format!(
            "The tasks' gradients conflict beyond chance in {}: sharing these is in doubt.",
            numbers::list(&conflicting)
        ),
    };
    let of_pairs = match (against.len(), layers.is_empty()) {
        (0, true) => "No two tasks' gradients conflict beyond chance.".into(),
        (0, false) => String::new(),
        _ => format!("Tasks conflict beyond chance: {}.", numbers::list(&against)),
    };
    [of_layers, of_pairs].iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}
