//! Less time, fewer parameters, less memory.

use super::Section;
use crate::report::figure::table;
use crate::report::figures;
use crate::report::words;
use crate::study::Report;
use crate::study::report::{Cost, Reached};
use maud::{Markup, html};

pub(super) fn section(report: &Report) -> Option<Section> {
    let figure = figures::speed(report);
    let tiles = tiles(report);
    if figure.is_none() && tiles.is_empty() && report.time.reached.is_empty() {
        return None;
    }
    let body = html! {
        @if !tiles.is_empty() { div.tiles { @for tile in &tiles { (tile) } } }
        @if let Some(figure) = &figure {
            h3 { "When joint training gets as far" }
            (figure.html())
        }
        @if !report.time.reached.is_empty() { (reached(&report.time.reached)) }
    };
    Some(Section {
        id: "time",
        short: "Less time?",
        title: "Less time?".into(),
        body,
        figures: figure.into_iter().collect(),
    })
}

/// A tile: what one model takes, beside a model a task.
fn tile(name: &str, joint: f64, single: f64, format: impl Fn(f64) -> String, note: &str) -> Option<Markup> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    if !usable(joint) || !usable(single) {
        return None;
    }
    let bar = |class: &str, label: &str, value: f64| {
        let width = format!("width:{:.1}%", 100.0 * value / joint.max(single));
        html! {
            div.bar.(class) {
                span { (label) } b { (format(value)) }
                i style=(width) aria-hidden="true" {}
            }
        }
    };
    Some(html! {
        div.tile {
            h3 { (name) }
            p.big { (words::share(joint / single)) span { " of alone" } }
            (bar("alone", "alone", single))
            (bar("together", "together", joint))
            p.note { (note) }
        }
    })
}

fn tiles(report: &Report) -> Vec<Markup> {
    let time = &report.time;
    let [joint, single] = time.parameters.map(|count| count as f64);
    let memory = time.memory.map(|bytes| bytes as f64);
    [
        tile(
            "Training time",
            time.joint.seconds,
            time.single.seconds,
            words::duration,
            "Threads times seconds of the whole joint run, and of all runs alone together.",
        ),
        tile(
            "Tokens",
            time.joint.tokens,
            time.single.tokens,
            words::short_count,
            "Trained on, by the joint run and by all runs alone together.",
        ),
        tile("Parameters", joint, single, words::short_count, "One model with all heads, or a model a task."),
        tile(
            "Memory for training",
            memory[0],
            memory[1],
            |value| words::bytes(value as usize),
            "The joint run, and the largest run alone.",
        ),
        time.answering.and_then(|answering| {
            let note = format!(
                "All heads for {}: by one model, or by a model a task in turn.",
                words::count(answering.texts, "text", "texts")
            );
            tile("Answering", answering.joint, answering.single, words::duration, &note)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reached(rows: &[Reached]) -> Markup {
    let cells = |row: &Reached| {
        let [joint_tokens, joint_time] =
            row.joint.map_or(["never".into(), "never".into()], |Cost { tokens, seconds, .. }| {
                [words::short_count(tokens), words::duration(seconds)]
            });
        vec![
            row.task.clone(),
            words::score(row.goal),
            words::short_count(row.single.tokens),
            joint_tokens,
            words::duration(row.single.seconds),
            joint_time,
        ]
    };
    table(
        "What it takes to reach the best validation score of the task alone; joint training's cost is that of all tasks",
        &["task", "score", "tokens alone", "tokens together", "thread time alone", "thread time together"],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    )
}
