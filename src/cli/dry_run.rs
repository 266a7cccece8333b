//! `mtl-zoo finetune --dry-run`: everything about a run but the run.

use super::output;
use anyhow::Result;
use mtl_zoo::data::TaskStatistics;
use mtl_zoo::data::statistics::{SplitStatistics, TargetStatistics};
use mtl_zoo::device::describe;
use mtl_zoo::train::{Budget, DevicePlan, MemoryPlan, Prepared};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What should make a person look at the data again.
pub fn warnings(prepared: &Prepared) -> Vec<String> {
    let rows = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "row" } else { "rows" });
    let mut warnings = Vec::new();
    for (task, statistics) in prepared.tasks.iter().zip(prepared.statistics()) {
        let mut add = |text: String| warnings.push(format!("task `{}`: {text}", task.data.name));
        for (split, SplitStatistics { rows: all, tokens, .. }) in &statistics.splits {
            if tokens.truncated > 0 {
                let (cut, most) = (tokens.truncated, prepared.recipe.backbone.max_tokens);
                add(format!("{cut} of {} cut at backbone.max_tokens = {most}", rows(*all, &format!("{split} "))));
            }
        }
        if task.data.empty > 0 {
            add(format!("{} without text", rows(task.data.empty, "")));
        }
        let overlap = &task.data.overlap;
        for (split, count) in [("validation ", overlap.validation), ("test ", overlap.test)] {
            if count > 0 {
                add(format!("{} also in the training data, which flatters the scores", rows(count, split)));
            }
        }
    }
    warnings
}

/// Numbers about the length of a run.
struct Plan {
    search: Option<Budget>,
    steps: usize,
    /// Mean tokens and, by task, mean rows of a step.
    tokens: f64,
    rows: Vec<f64>,
    trainable: usize,
    frozen: usize,
    memory: MemoryPlan,
    /// Of a run that computes on a device.
    device: Option<DevicePlan>,
}

/// Prints the resolved recipe, valid TOML, with tables below it as comments; or one JSON document.
pub fn show(prepared: &Prepared, folder: &Path, as_json: bool) -> Result<()> {
    let recipe = prepared.recipe.clone();
    let statistics = prepared.statistics();
    let overlaps: Vec<_> = prepared.tasks.iter().map(|task| task.data.overlap).collect();
    let shared = shared_inputs(prepared);
    let plan = plan(prepared)?;
    if as_json {
        let task = |((statistics, overlap), rows): ((&TaskStatistics, _), f64)| {
            let overlap: &mtl_zoo::data::task_data::Overlap = overlap;
            let mut value = json!(statistics);
            value["overlap"] = json!({"validation": overlap.validation, "test": overlap.test});
            value["rows_per_step"] = json!(rows);
            (statistics.name.clone(), value)
        };
        let tasks: Map<String, Value> = statistics.iter().zip(&overlaps).zip(plan.rows).map(task).collect();
        let mut value = json!({
            "recipe": recipe,
            "tasks": tasks,
            "shared_inputs": shared,
            "steps": plan.steps,
            "tokens_per_step": plan.tokens,
            "parameters": {"trainable": plan.trainable, "frozen": plan.frozen},
            "peak_memory": plan.memory.total(),
            "device": describe(&prepared.device),
            "out": folder,
        });
        if let Some(device) = plan.device {
            let pieces = device.pieces().ok().flatten();
            value["device_memory"] = json!({"need": device.total(), "free": device.free, "tokens_per_pass": pieces});
        }
        return output::print_json(&value);
    }
    output::print(recipe.to_toml())?;
    let mut text = String::new();
    let mut add =
        |header: &[&str], rows: Vec<Vec<String>>| text += &format!("{}\n\n", output::table_for(header, &rows, false));
    let header = ["task", "split", "rows", "min", "median", "mean", "p95", "max", "truncated", "also in train"];
    let mut rows = Vec::new();
    for (task, overlap) in statistics.iter().zip(&overlaps) {
        for (index, (split, numbers)) in task.splits.iter().enumerate() {
            let leak = match split.as_str() {
                "validation" => overlap.validation.to_string(),
                "test" => overlap.test.to_string(),
                _ => String::new(),
            };
            let name = if index == 0 { task.name.clone() } else { String::new() };
            rows.push([vec![name, split.clone()], lengths(numbers), vec![leak]].concat());
        }
    }
    add(&header, rows);
    for task in &statistics {
        let (header, rows) = targets(task);
        add(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows);
    }
    let name_rows = statistics.iter().zip(&plan.rows);
    let per_step: Vec<_> = name_rows.map(|(task, rows)| format!("{} {rows:.1}", task.name)).collect();
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut facts = vec![
        row("steps", output::thousands(plan.steps)),
        row("tokens a step", format!("{:.0}", plan.tokens)),
        row("rows a step", per_step.join(", ")),
        row("trainable parameters", output::thousands(plan.trainable)),
        row("frozen parameters", output::thousands(plan.frozen)),
        row("peak memory", output::megabytes(plan.memory.total() as u64)),
        row("device", describe(&prepared.device)),
        row("run folder", folder.display().to_string()),
    ];
    if let Some(Budget { trials, steps, .. }) = plan.search {
        facts.insert(1, row("search before", format!("{trials} trials of {} steps", output::thousands(steps))));
    }
    if let Some(device) = plan.device {
        let need = output::megabytes(device.total() as u64);
        let free = output::megabytes((device.free + device.parameters) as u64);
        let divided = match device.pieces() {
            Ok(None) => String::new(),
            Ok(Some(tokens)) => format!("; batches pass in pieces of at most {tokens} tokens"),
            Err(_) => "; too little, whatever the batch".into(),
        };
        facts.push(row("device memory", format!("{need} of {free} free{divided}")));
    }
    if !shared.is_empty() {
        let groups: Vec<_> = shared.iter().map(|group| group.join(" + ")).collect();
        facts.push(row("same inputs", groups.join(", ")));
    }
    add(&["run", ""], facts);
    let comment = |line: &str| format!("# {line}").trim_end().to_owned();
    Ok(output::print(text.trim_end().lines().map(comment).collect::<Vec<_>>().join("\n"))?)
}

/// Names of the tasks that label the same inputs, by group.
fn shared_inputs(prepared: &Prepared) -> Vec<Vec<String>> {
    let names = |group: &Vec<usize>| group.iter().map(|&task| prepared.tasks[task].data.name.clone()).collect();
    prepared.groups.iter().filter(|group| group.len() > 1).map(names).collect()
}

/// Draws every batch of the run, and builds its model.
fn plan(prepared: &Prepared) -> Result<Plan> {
    let steps = prepared.steps()?;
    let model = prepared.model()?;
    let (backbone, heads) = model.size();
    let trainable = model.arena().len();
    let drawn = prepared.drawn(steps)?;
    let mean = |sum: usize| sum as f64 / steps.max(1) as f64;
    Ok(Plan {
        search: Budget::of(&prepared.recipe, steps),
        steps,
        tokens: mean(drawn.total),
        rows: drawn.rows.into_iter().map(mean).collect(),
        trainable,
        frozen: backbone + heads - trainable,
        memory: MemoryPlan::new(prepared, &model),
        device: DevicePlan::new(prepared, &model),
    })
}

fn lengths(split: &SplitStatistics) -> Vec<String> {
    let tokens = &split.tokens;
    vec![
        split.rows.to_string(),
        tokens.min.to_string(),
        tokens.median.to_string(),
        format!("{:.1}", tokens.mean),
        tokens.p95.to_string(),
        tokens.max.to_string(),
        tokens.truncated.to_string(),
    ]
}

/// The answers of a task by split: one row a label, or one row a number about the values.
fn targets(task: &TaskStatistics) -> (Vec<String>, Vec<Vec<String>>) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let add = |rows: &mut Vec<Vec<String>>, index: usize, name: &str, value: String| {
        if rows.len() <= index {
            rows.push(vec![name.to_owned()]);
        }
        rows[index].push(value);
    };
    for split in task.splits.values() {
        match &split.targets {
            TargetStatistics::Counts(counts) => {
                let each = counts.iter().enumerate();
                each.for_each(|(index, (label, count))| add(&mut rows, index, label, count.to_string()));
            }
            TargetStatistics::Values { mean, sd, min, max } => {
                let each = [("mean", mean), ("sd", sd), ("min", min), ("max", max)].into_iter().enumerate();
                each.for_each(|(index, (name, value))| add(&mut rows, index, name, format!("{value:.4}")));
            }
        }
    }
    let title = format!("{} ({})", task.name, task.kind.name());
    (std::iter::once(title).chain(task.splits.keys().cloned()).collect(), rows)
}
