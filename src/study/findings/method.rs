//! How a study was done, as a paragraph for a paper.

use super::numbers;
use super::numbers::{count, list, plural};
use super::runs::Runs;
use super::statistics::RESAMPLES;
use crate::study::Arm;
use crate::study::report::Report;

/// Says what was really done: sections that have no runs are not spoken of.
pub(super) fn method(report: &Report, runs: &Runs) -> String {
    let parts = [trained(report, runs), compared(report, runs), others(report, runs), missing(report, runs)];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

fn trained(report: &Report, runs: &Runs) -> String {
    let names: Vec<&String> = report.tasks.keys().collect();
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    let mut text = format!(
        "{} was fine-tuned on {} ({}), on all jointly and on each alone, with {} ({}).",
        report.backbone,
        plural(names.len(), "task"),
        list(&names),
        plural(seeds.len(), "seed"),
        list(&seeds),
    );
    let methods: Vec<&str> = report.generalization.joint.iter().filter_map(|arm| arm.method.as_deref()).collect();
    if !methods.is_empty() {
        text += &format!(
            " Joint training balanced the tasks by {}; the recipe's method is {}.",
            list(&methods),
            report.balance
        );
    }
    text += " Runs with the same seed begin with the same heads and the same labels. Each single-task run has the steps that \
             give its task the tokens that it gets in the joint run, but at least 100 (or an equal share of the joint run's steps, if that \
             is fewer). Scores are of test rows, by the weights of the step with the best validation score.";
    if runs.arms().iter().any(|arm| matches!(arm, Arm::After { .. })) {
        text += " In intermediate transfer, a task is trained from the backbone that another was trained on before.";
    }
    text
}

fn compared(report: &Report, runs: &Runs) -> String {
    if report.generalization.joint.is_empty() && report.transfer.is_none() {
        return String::new();
    }
    let mut text = format!(
        "A difference between two arms is the mean over seeds of paired differences. Its variance is the variance over seeds \
         plus that of a paired bootstrap over test examples ({} resamples), which takes seeds and examples as crossed random \
         effects and is conservative. Intervals are of 95 %: the root of the sum of the squares of the two parts' halves by Student's t (Zou \
         & Donner 2008). p values are two-sided and corrected by Holm's method",
        count(RESAMPLES as f64)
    );
    let joint = &report.generalization.joint;
    let tests = joint.iter().flat_map(|arm| arm.tasks.values());
    let tests = tests.filter(|scores| scores.effect.as_ref().is_some_and(|effect| effect.p.is_some())).count();
    let mut families = Vec::new();
    if !joint.is_empty() {
        families.push(format!("over all tasks of all joint arms ({})", plural(tests, "test")));
    }
    if report.transfer.is_some() {
        families.push("over each matrix of transfer".into());
    }
    if report.conflict.is_some() {
        families.push("over pairs of tasks for gradient conflict".into());
    }
    text += &format!(" {}; a difference counts below 0.05.", list(&families));
    if joint.iter().any(|arm| arm.delta_m.is_some()) {
        text += " Δm is the mean over tasks of the change in percent of the mean single-task score (Maninis et al. 2019), \
                 with an interval made alike; intervals of scores are over seeds only.";
    }
    if runs.seeds.len() < 2 {
        text += " With a single seed, differences of the main comparison are not tested.";
    }
    text
}

fn others(report: &Report, runs: &Runs) -> String {
    let mut parts = Vec::new();
    if let Some(labels) = &report.labels {
        parts.push(format!(
            "Labels saved are read from the single-task learning curve of {}, made monotone by isotonic regression and \
             interpolated on the logarithm of the number of labels, never beyond its ends; their interval is that of a bootstrap \
             over seeds and test examples.",
            labels.task
        ));
    }
    if let Some(transfer) = &report.transfer {
        parts.push(
            "In the matrices of transfer the variance over seeds is pooled over all comparisons of a target, as most have \
             fewer seeds."
                .into(),
        );
        if transfer.foretold.iter().any(|foretold| foretold.rho.is_some()) {
            parts.push(
                "The affinity (Fifty et al. 2021) is compared with them by Spearman's ρ, with p by random orders of the tasks \
                 (Mantel 1967)."
                    .into(),
            );
        }
    }
    if report.conflict.is_some() {
        let over =
            if runs.of(&runs.recipe_arm()).len() > 1 { "over seeds" } else { "over ten blocks of steps of one run" };
        parts.push(format!("Cosines between task gradients are of the recipe's joint runs, tested against 0 {over}."));
    }
    parts.join(" ")
}

/// What there is, and what is missing.
fn missing(report: &Report, runs: &Runs) -> String {
    let failed = match report.failed.len() {
        0 => String::new(),
        number => format!(
            ", of which {} failed and {} left out",
            numbers::count(number as f64),
            if number == 1 { "is" } else { "are" }
        ),
    };
    let mut text = format!("The study has {}{failed}.", plural(report.runs, "run"));
    let alone = &report.generalization.single.tasks;
    let unscored: Vec<&String> = report.tasks.keys().filter(|task| !alone.contains_key(*task)).collect();
    if !unscored.is_empty() {
        text += &format!(" There is no single-task score of {}.", list(&unscored));
    }
    let arms = std::iter::once(&report.generalization.single).chain(&report.generalization.joint);
    let undefined =
        arms.flat_map(|arm| arm.tasks.values()).flat_map(|scores| &scores.seeds).filter(|seed| seed.is_none());
    if undefined.count() > 0 {
        text += " A seed without a defined score is left out of what it is missing from.";
    }
    let counts: Vec<usize> = runs
        .arms()
        .iter()
        .filter(|arm| !matches!(arm, Arm::Single { .. } | Arm::Joint { .. }))
        .map(|arm| runs.of(arm).len())
        .collect();
    if let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max())
        && *least < runs.seeds.len()
    {
        let range =
            if least == most { plural(*least, "seed") } else { format!("{least} to {}", plural(*most, "seed")) };
        text += &format!(" Arms outside the main comparison have {range}.");
    }
    text
}
