//! What to do, with the numbers it rests on.

use super::changes::{drop_change, groups_change, method_change};
use super::delta_m::{DeltaM, delta_m};
use super::grouping::groups;
use super::headline::{describe, effects, recipe_arm};
use super::numbers;
use super::runs::Runs;
use super::statistics::holm;
use crate::study::report::{Advice, Certainty, Effect, Estimate, Report, Verdict};
use crate::study::{Arm, RunResult};

/// Everything that the runs give reason for.
pub(super) fn advice(report: &Report, runs: &Runs) -> Vec<Advice> {
    let together = together(report);
    let mut grouped = grouped(report);
    // A guess is not worth saying where something else is sure.
    grouped.retain(|advice| together.is_empty() || advice.certainty != Certainty::Unsure);
    let parts = [together, harmed(report), sources(report), grouped, saved(report)];
    let mut advice: Vec<Advice> = parts.into_iter().flatten().collect();
    advice.splice(0..0, method(report, runs));
    advice.extend(length(report, runs));
    advice
}

fn what(what: String, because: Vec<String>, certainty: Certainty) -> Advice {
    Advice { what, because, certainty, change: None }
}

/// The method with the best Δm, if it beats the recipe's beyond chance, corrected for the number of other methods.
fn method(report: &Report, runs: &Runs) -> Option<Advice> {
    let own = recipe_arm(report)?;
    let recipe = runs.recipe_arm();
    let known = |method: &String, delta: Option<Estimate>| Some((method.clone(), delta?));
    let deltas: Vec<(String, Estimate)> =
        report.generalization.joint.iter().filter_map(|arm| known(arm.method.as_ref()?, arm.delta_m)).collect();
    own.delta_m?;
    let others: Vec<(&String, &Estimate, DeltaM)> = deltas
        .iter()
        .filter(|(method, _)| *method != report.balance)
        .filter_map(|(method, delta)| {
            Some((method, delta, delta_m(runs, |_| recipe.clone(), &Arm::Joint { method: method.clone() })?))
        })
        .collect();
    let corrected = holm(&others.iter().map(|(.., against)| against.inference.p).collect::<Vec<_>>());
    let mut best: Option<(&String, &Estimate, &DeltaM, Option<f64>)> = None;
    for ((method, delta, against), corrected) in others.iter().zip(corrected) {
        if best.is_none_or(|best| against.value > best.2.value) {
            best = Some((method, delta, against, corrected));
        }
    }
    let (best, delta, against, corrected) = best?;
    let own = |delta: &Estimate| {
        format!("Δm {} ({})", numbers::percent(delta.value), numbers::interval(delta, numbers::percent))
    };
    let mut because: Vec<String> = deltas
        .iter()
        .filter(|(method, _)| *method == report.balance)
        .map(|(method, delta)| format!("{method}: {}.", own(delta)))
        .collect();
    because.push(format!("{best}: {}.", own(delta)));
    let difference = Estimate { value: against.value, interval: against.inference.interval };
    let tested = corrected.map_or(String::new(), |p| format!(", {} after Holm's correction", numbers::p(p)));
    because.push(format!(
        "Difference of Δm, by seed: {} ({}{tested}).",
        numbers::percent(difference.value),
        numbers::interval(&difference, numbers::percent)
    ));
    if against.value > 0.0 && corrected.is_some_and(|p| p < 0.05) {
        let change = Some(method_change(best));
        return Some(Advice { change, ..what(format!("Balance by {best}."), because, Certainty::Sure) });
    }
    let certainty = if corrected.is_some() { Certainty::Likely } else { Certainty::Unsure };
    Some(what(format!("Keep {}: no method is better beyond chance.", report.balance), because, certainty))
}

/// Joint training as it is, where it helps and nothing is hurt.
fn together(report: &Report) -> Vec<Advice> {
    let Some(joint) = recipe_arm(report) else { return Vec::new() };
    let of = |verdict| effects(joint).filter(move |(_, effect)| effect.verdict == verdict);
    if of(Verdict::Helped).next().is_none() || of(Verdict::Hurt).next().is_some() {
        return Vec::new();
    }
    let because = of(Verdict::Helped).map(|(task, effect)| tell(report, task, task, effect)).collect();
    vec![what("Train the tasks together.".into(), because, Certainty::Sure)]
}

/// Tasks that joint training hurts.
fn harmed(report: &Report) -> Vec<Advice> {
    let Some(joint) = recipe_arm(report) else { return Vec::new() };
    let hurt = effects(joint).filter(|(_, effect)| effect.verdict == Verdict::Hurt);
    let advise = |(task, effect): (&String, &Effect)| {
        let because = vec![tell(report, task, task, effect)];
        let change = droppable(report, task).then(|| drop_change(task));
        Advice { change, ..what(format!("Train {task} by itself: joint training hurts it."), because, Certainty::Sure) }
    };
    hurt.map(advise).collect()
}

/// Tasks without which another is better.
fn sources(report: &Report) -> Vec<Advice> {
    let Some(transfer) = &report.transfer else { return Vec::new() };
    let mut advice = Vec::new();
    for (target, row) in transfer.tasks.iter().zip(&transfer.leave_one_out) {
        for (source, effect) in transfer.tasks.iter().zip(row) {
            let Some(effect) = effect.as_ref().filter(|effect| effect.verdict == Verdict::Hurt) else { continue };
            let because =
                vec![tell(report, &format!("{target} with {source}, against all but {source}"), target, effect)];
            let change = droppable(report, source).then(|| drop_change(source));
            let words = format!("For {target}, leave out {source}.");
            advice.push(Advice { change, ..what(words, because, Certainty::Sure) });
        }
    }
    advice
}

/// Whether a task is to be left out of the recipe: it is hurt, or hurts another, beyond chance; and helps none.
fn droppable(report: &Report, task: &str) -> bool {
    let hurt = recipe_arm(report)
        .is_some_and(|joint| effects(joint).any(|(other, effect)| other == task && effect.verdict == Verdict::Hurt));
    let transfer = report.transfer.as_ref();
    let source = transfer.and_then(|transfer| transfer.tasks.iter().position(|other| other == task));
    let column = transfer
        .zip(source)
        .into_iter()
        .flat_map(|(transfer, source)| transfer.leave_one_out.iter().filter_map(move |row| row.get(source)?.as_ref()));
    let verdicts: Vec<Verdict> = column.map(|effect| effect.verdict).collect();
    (hurt || verdicts.contains(&Verdict::Hurt)) && !verdicts.contains(&Verdict::Helped)
}

/// Groups of tasks, if the pairs speak for more than one.
fn grouped(report: &Report) -> Vec<Advice> {
    let Some((transfer, found)) = report.transfer.as_ref().and_then(|transfer| Some((transfer, groups(transfer)?)))
    else {
        return Vec::new();
    };
    let names =
        |group: &Vec<usize>| numbers::list(&group.iter().map(|task| &transfer.tasks[*task]).collect::<Vec<_>>());
    let mut because = Vec::new();
    for (target, row) in transfer.tasks.iter().zip(&transfer.pairs) {
        for (source, effect) in transfer.tasks.iter().zip(row) {
            if let Some(effect) = effect.as_ref().filter(|effect| effect.verdict != Verdict::NoEvidence) {
                because.push(tell(report, &format!("{target} with {source}"), target, effect));
            }
        }
    }
    if because.is_empty() {
        because
            .push("No pair of tasks helps or hurts beyond chance: the groups rest on the signs of the effects.".into());
    }
    let words = match found.groups.len() {
        1 => "Keep all tasks in one group.".into(),
        all if all == transfer.tasks.len() => "Train each task by itself: no two help each other.".into(),
        _ => {
            let groups: Vec<String> = found.groups.iter().map(names).collect();
            format!("Train in groups: {}.", groups.join("; "))
        }
    };
    let several = found.groups.len() > 1 && found.certainty == Certainty::Sure;
    let change = several.then(groups_change);
    vec![Advice { change, ..what(words, because, found.certainty) }]
}

/// Labels that joint training makes up for.
fn saved(report: &Report) -> Vec<Advice> {
    let Some(labels) = &report.labels else { return Vec::new() };
    let point = labels.saved.iter().find(|point| point.rows == labels.used);
    let more = point.filter(|point| point.needed.value.round() > point.rows as f64);
    let Some(point) = more else { return Vec::new() };
    let sure = point.needed.interval.is_some_and(|[from, _]| from > point.rows as f64);
    let words =
        format!("With few labels of {}, train it with the other tasks rather than label more first.", labels.task);
    vec![what(words, vec![labels.headline.clone()], if sure { Certainty::Sure } else { Certainty::Likely })]
}

/// Longer training, where the best step was always the last that was looked at.
fn length(report: &Report, runs: &Runs) -> Option<Advice> {
    let joint = runs.of(&runs.recipe_arm());
    let at_end =
        |run: &&&RunResult| run.curve.len() > 1 && run.curve.last().is_some_and(|last| run.best_step >= last.step);
    if joint.is_empty() || joint.iter().filter(at_end).count() < joint.len() {
        return None;
    }
    let single: Vec<&RunResult> =
        report.tasks.keys().flat_map(|task| runs.of(&Arm::Single { task: task.clone() })).collect();
    let mut because =
        vec![format!("The last evaluation was the best in every joint run ({}).", numbers::plural(joint.len(), "run"))];
    if !single.is_empty() {
        let late = single.iter().filter(at_end).count();
        because.push(format!("So it was in {late} of {} of single tasks.", numbers::plural(single.len(), "run")));
    }
    Some(what("Train longer: the scores were still rising.".into(), because, Certainty::Likely))
}

/// An effect on a task, under some name, in a sentence.
fn tell(report: &Report, name: &str, task: &str, effect: &Effect) -> String {
    let p = effect.corrected.map_or(String::new(), |p| format!(", {} after Holm's correction", numbers::p(p)));
    format!("{name}: {}{p}.", describe(report, task, effect))
}
