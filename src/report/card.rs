//! The findings of a study as a section of a model card.

use super::words::{decimals, effect_probability, estimate, signed, verdict};
use crate::error::{IoContext, Problem, Result};
use crate::study::Report;
use std::fmt::Write;
use std::path::Path;

/// Reads `report.json`; `path` may also be the folder that it lies in.
///
/// # Errors
/// When there is no such file, or it is no report of this version.
pub fn read(path: &Path) -> Result<Report> {
    let path = if path.is_dir() { path.join(super::NUMBERS) } else { path.to_owned() };
    let text = std::fs::read(&path).at("read", &path)?;
    serde_json::from_slice(&text).map_err(|error| {
        let help = "give the folder of a finished study, or its report.json";
        let found = format!("{error}");
        Problem::new(found, "the report of a study", help).file(path).line(error.line()).argument()
    })
}

/// What sharing did to these tasks, in Markdown: a table of verdicts, and labels saved. `method` is the balancing method
/// of the checkpoint: the study's joint runs with the same one are shown, else the study's own.
///
/// # Errors
/// When the study has none of the tasks.
pub fn card_section(report: &Report, tasks: &[&str], method: Option<&str>) -> Result<String> {
    let joint = &report.generalization.joint;
    let same = |arm: &&crate::study::report::ArmScores| method.is_some() && arm.method.as_deref() == method;
    let arm = joint.iter().find(same).or(joint.first());
    let known: Vec<_> = tasks.iter().filter(|task| report.tasks.contains_key(**task)).collect();
    let (Some(arm), false) = (arm, known.is_empty()) else {
        let found = format!("a study of {}", report.tasks.keys().cloned().collect::<Vec<_>>().join(", "));
        let expected = format!("one of the checkpoint's tasks: {}", tasks.join(", "));
        return Err(Problem::new(found, expected, "name the study that this checkpoint belongs to").argument());
    };
    let mut text = String::new();
    let seeds = report.seeds.len();
    let _ = writeln!(
        text,
        "From a study with {seeds} seeds, each task alone and all {} together ({}), at equal budget. Test scores are means \
         over\nseeds, not those of the one run that is published here; p is corrected for all comparisons (Holm).\n",
        report.tasks.len(),
        arm.method.as_deref().unwrap_or(&arm.title),
    );
    let _ = writeln!(text, "| Task | Metric | Alone | Jointly | Difference [95 % interval] | p | Sharing |");
    let _ = writeln!(text, "|---|---|---:|---:|---:|---:|---|");
    for task in known {
        let scores = &arm.tasks[*task];
        let alone = report.generalization.single.tasks[*task].test.value;
        let (difference, p, what) = match &scores.effect {
            Some(effect) => (estimate(&effect.difference, signed), effect_probability(effect), verdict(effect.verdict)),
            None => Default::default(),
        };
        let metric = report.tasks[*task].metric.name();
        let (alone, jointly) = (decimals(alone, 3), decimals(scores.test.value, 3));
        let _ = writeln!(text, "| {task} | {metric} | {alone} | {jointly} | {difference} | {p} | {what} |");
    }
    if let Some(labels) = &report.labels
        && tasks.contains(&labels.task.as_str())
        && !labels.headline.is_empty()
    {
        let _ = write!(text, "\n{}", labels.headline);
    }
    Ok(text)
}
