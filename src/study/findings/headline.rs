//! What joint training did, in a sentence.

use super::numbers;
use crate::metrics::Metric;
use crate::study::report::{ArmScores, Effect, Estimate, Report, Verdict};

/// So many tasks are named; of the others, their number.
const NAMED: usize = 3;

/// The most important thing that was found.
pub(super) fn headline(report: &Report) -> String {
    let Some(joint) = recipe_arm(report) else {
        return "No joint run by the recipe's method got through: nothing can be said of joint training.".into();
    };
    let all = report.tasks.len();
    let of = |verdict| verdicts(report, joint, verdict);
    let (helped, hurt) = (of(Verdict::Helped), of(Verdict::Hurt));
    let tested = effects(joint).filter(|(_, effect)| effect.p.is_some()).count();
    let rest = all - helped.len() - hurt.len();
    let others = match rest {
        0 => String::new(),
        1 => "the other task".into(),
        _ => format!("the other {rest} tasks"),
    };
    match (helped.is_empty(), hurt.is_empty()) {
        _ if tested == 0 => format!(
            "Too few runs to tell what joint training did to {}: more seeds are needed.",
            if all == 1 { "the task".into() } else { format!("the {all} tasks") }
        ),
        (true, true) if all == 1 => "No evidence that joint training helped or hurt the task.".into(),
        (true, true) => format!("No evidence that joint training helped or hurt any of the {all} tasks."),
        (false, true) if rest == 0 => format!("Joint training helped every task: {}.", some(&helped)),
        (false, true) => format!("Joint training helped {}; no evidence of harm to {others}.", some(&helped)),
        (true, false) if rest == 0 => format!("Joint training hurt every task: {}.", some(&hurt)),
        (true, false) => format!("Joint training hurt {}; no evidence that it helped {others}.", some(&hurt)),
        (false, false) if rest == 0 => format!("Joint training helped {} and hurt {}.", some(&helped), some(&hurt)),
        (false, false) => {
            format!(
                "Joint training helped {} and hurt {}; no evidence either way for {others}.",
                some(&helped),
                some(&hurt)
            )
        }
    }
}

/// The joint arm of the recipe's method.
pub(super) fn recipe_arm(report: &Report) -> Option<&ArmScores> {
    let joint = report.generalization.joint.iter().find(|arm| arm.method.as_deref() == Some(&report.balance))?;
    (!joint.tasks.is_empty()).then_some(joint)
}

/// Every task's effect in an arm.
pub(super) fn effects(arm: &ArmScores) -> impl Iterator<Item = (&String, &Effect)> {
    arm.tasks.iter().filter_map(|(task, scores)| Some((task, scores.effect.as_ref()?)))
}

/// Each task with this verdict, with its effect in words.
fn verdicts(report: &Report, arm: &ArmScores, verdict: Verdict) -> Vec<String> {
    let found = effects(arm).filter(|(_, effect)| effect.verdict == verdict);
    found.map(|(task, effect)| format!("{task} ({})", describe(report, task, effect))).collect()
}

/// `+0.160 pearson, 95 % interval 0.130 to 0.190`, or of an error `mse lower by 0.160, ...`.
pub(super) fn describe(report: &Report, task: &str, effect: &Effect) -> String {
    let metric = report.tasks.get(task).map(|facts| facts.metric);
    let Estimate { value, interval } = effect.difference;
    match metric {
        Some(metric) if !metric.higher_is_better() => {
            // An error is told by its size: turned round where it grew.
            let grew = value < 0.0;
            let turn = |[from, to]: [f64; 2]| if grew { [-to, -from] } else { [from, to] };
            let size = Estimate { value: value.abs(), interval: interval.map(turn) };
            let way = if grew { "higher" } else { "lower" };
            format!("{metric} {way} by {}, {}", numbers::score(size.value), numbers::interval(&size, numbers::score))
        }
        _ => {
            let metric = metric.map(Metric::name).unwrap_or_default();
            let interval = numbers::interval(&effect.difference, numbers::score);
            format!("{} {metric}, {interval}", numbers::signed(value))
        }
    }
}

/// The first few, and how many more there are.
fn some(names: &[String]) -> String {
    if names.len() <= NAMED + 1 {
        return numbers::list(names);
    }
    let more = format!("{} more", names.len() - NAMED);
    numbers::list(&names[..NAMED].iter().cloned().chain([more]).collect::<Vec<_>>())
}
