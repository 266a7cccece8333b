//! What a study found, on one screen of a terminal.

use super::output;
use mtl_zoo::report::words;
use mtl_zoo::study::Report;
use mtl_zoo::study::report::{ArmScores, TaskScores};

/// Columns that a line has at most.
const WIDTH: usize = 100;

/// Headline, a table of the tasks, and a line each for labels, methods and the first advice.
pub fn summary(report: &Report) -> String {
    let mut parts = vec![wrapped(&report.headline, "")];
    let found = &report.generalization;
    let joint = found.joint.first();
    let rows: Vec<Vec<String>> = found
        .single
        .tasks
        .iter()
        .map(|(task, single)| row(task, single, joint.and_then(|arm| arm.tasks.get(task))))
        .collect();
    if !rows.is_empty() {
        parts.push(output::table(&["task", "alone", "together", "difference", "p", "verdict"], &rows));
    }
    let mut lines = Vec::new();
    if let Some(labels) = &report.labels {
        lines.push(wrapped(&labels.headline, "labels   "));
    }
    let methods: Vec<String> = found.joint.iter().filter_map(method).collect();
    if !methods.is_empty() {
        lines.push(wrapped(&methods.join("; "), "methods  "));
    }
    if let Some(advice) = report.advice.first() {
        let text = format!("{} ({})", words::shorten(&advice.what, 400), words::certainty(advice.certainty));
        lines.push(wrapped(&text, "advice   "));
    }
    if !report.failed.is_empty() {
        let runs = words::count(report.failed.len(), "run", "runs");
        lines.push(wrapped(
            &format!("{runs} of {} did not get through; the report names them", report.runs),
            "failed   ",
        ));
    }
    if !lines.is_empty() {
        parts.push(lines.join("\n"));
    }
    parts.join("\n\n")
}

fn row(task: &str, single: &TaskScores, joint: Option<&TaskScores>) -> Vec<String> {
    let effect = joint.and_then(|joint| joint.effect.as_ref());
    let nothing = || words::NOTHING.to_owned();
    vec![
        words::shorten(task, 26),
        words::score(single.test.value),
        joint.map_or_else(nothing, |joint| words::score(joint.test.value)),
        effect.map_or_else(nothing, |effect| words::estimate(&effect.difference, words::signed)),
        words::bare_probability(effect.and_then(|effect| effect.corrected.or(effect.p))),
        effect.map_or("not compared", |effect| words::verdict(effect.verdict)).to_owned(),
    ]
}

fn method(arm: &ArmScores) -> Option<String> {
    let name = arm.method.as_deref().unwrap_or(&arm.title);
    Some(format!("{name} Δm {}", words::estimate(&arm.delta_m?, words::percent)))
}

/// A text in lines of at most [`WIDTH`] columns behind a label; lines after the first are indented as far.
fn wrapped(text: &str, label: &str) -> String {
    let indent = " ".repeat(label.chars().count());
    let mut lines = vec![label.to_owned()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is always a line");
        let empty = line.chars().count() == indent.len();
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            line.push_str(if empty { "" } else { " " });
            line.push_str(&word.replace(char::is_control, " "));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Report {
        let scores = |value: f64, effect: serde_json::Value| json!({"seeds": [value], "test": {"value": value, "interval": [value - 0.01, value + 0.01]}, "train": null, "gap": null, "effect": effect});
        let effect = json!({"difference": {"value": -0.0213, "interval": [-0.0351, -0.0072]}, "percent": -2.5, "p": 0.0002, "corrected": 0.0004, "verdict": "hurt"});
        let long = "a_task_with_a_name_that_is_much_longer_than_any_table_should_be";
        let cost = json!({"steps": 0.0, "tokens": 0.0, "seconds": 0.0});
        let value = json!({
            "format": "1", "name": "x", "version": "0", "backbone": "b", "balance": "uniform", "seeds": [1], "runs": 9,
            "failed": [["joint", "no"]], "tasks": {}, "headline": "word ".repeat(40),
            "generalization": {
                "single": {"title": "alone", "method": null, "tasks": {long: scores(0.8, json!(null)), "other": scores(0.4, json!(null))}, "delta_m": null, "weights": null},
                "joint": [{"title": "all", "method": "uniform", "tasks": {long: scores(0.78, effect)}, "delta_m": {"value": 1.23, "interval": null}, "weights": null}]
            },
            "labels": null,
            "time": {"curves": [], "reached": [], "joint": cost, "single": cost, "parameters": [1, 2], "memory": [1, 2], "answering": null},
            "transfer": null, "conflict": null,
            "advice": [{"what": "Take it out.", "because": [], "certainty": "likely", "change": null}],
            "method": ""
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn fits_a_terminal_and_says_what_matters() {
        let text = summary(&report());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for part in [
            "0.800",
            "0.780",
            "−0.021 [−0.035 to −0.007]",
            "< 0.001",
            "hurt",
            "not compared",
            "uniform Δm +1.2",
            "Take it out. (likely)",
            "1 run of 9",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
