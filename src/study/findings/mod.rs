//! From the runs of a study to its report.

mod advice;
mod changes;
mod conflict;
mod delta_m;
mod effect;
mod generalization;
mod grouping;
mod headline;
mod labels;
mod method;
mod numbers;
mod runs;
mod statistics;
#[cfg(test)]
mod tests;
mod time;
mod transfer;

pub use changes::{Changes, advised};

use crate::study::RunResult;
use crate::study::report::{Answering, Report, TaskFacts};
use runs::Runs;

use indexmap::IndexMap;

/// Version of `report.json`.
pub const FORMAT: &str = "mtl-zoo report 1";

/// What a study was about.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The recipe's name.
    pub name: String,
    /// The backbone's id.
    pub backbone: String,
    /// The recipe's balancing method.
    pub balance: String,
    /// The seeds of the main comparison; runs with others are not looked at.
    pub seeds: Vec<u64>,
    /// The tasks in the recipe's order.
    pub tasks: IndexMap<String, TaskFacts>,
    /// The task of the learning curves.
    pub target: Option<String>,
    /// Training rows of the target that the recipe uses.
    pub labels_used: usize,
    /// Training rows of the target that there are.
    pub labels_most: usize,
    /// Seconds to answer all heads, if they were measured.
    pub answering: Option<Answering>,
}

/// What the runs show. Any of them may be missing or have failed: what cannot be told without them is left out.
///
/// Runs are told apart by arm and seed; their order does not matter, and the same runs give the same report.
pub fn findings(about: &About, results: &[RunResult]) -> Report {
    let runs = Runs::new(about, results);
    let (transfer, generalization) = (transfer::transfer(&runs), generalization::generalization(&runs));
    let mut failed: Vec<_> =
        results.iter().filter_map(|run| Some((&run.arm, run.seed, run.failed.as_ref()?))).collect();
    failed.sort();
    let mut report = Report {
        format: FORMAT.into(),
        name: about.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        backbone: about.backbone.clone(),
        balance: about.balance.clone(),
        seeds: runs.seeds.clone(),
        runs: results.len(),
        failed: failed
            .into_iter()
            .map(|(arm, seed, reason)| [format!("{} (seed {seed})", arm.title()), reason.clone()])
            .collect(),
        tasks: about.tasks.clone(),
        headline: String::new(),
        generalization,
        labels: labels::labels(&runs),
        time: time::time(&runs),
        transfer,
        conflict: conflict::conflict(&runs),
        advice: Vec::new(),
        method: String::new(),
    };
    report.headline = headline::headline(&report);
    report.advice = advice::advice(&report, &runs);
    report.method = method::method(&report, &runs);
    report
}
