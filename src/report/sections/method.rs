//! How it was done, and how to read it.

use super::Section;
use crate::report::figure::table;
use crate::report::words;
use crate::study::Report;
use maud::{Markup, html};

pub(super) fn section(report: &Report) -> Section {
    let tasks: Vec<_> = report
        .tasks
        .iter()
        .map(|(task, facts)| {
            vec![
                task.clone(),
                facts.kind.clone(),
                facts.metric.name().to_owned(),
                words::thousands(facts.train),
                words::thousands(facts.test),
            ]
        })
        .collect();
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    let body = html! {
        @if !report.method.is_empty() { p { (report.method) } }
        dl.facts {
            div { dt { "Backbone" } dd { (report.backbone) } }
            div { dt { "Balancing" } dd { (report.balance) } }
            div { dt { "Seeds" } dd { (if seeds.is_empty() { words::NOTHING.into() } else { seeds.join(", ") }) } }
            div { dt { "Runs" } dd { (words::thousands(report.runs)) @if !report.failed.is_empty() { ", " (words::thousands(report.failed.len())) " failed" } } }
            div { dt { "mtl-zoo" } dd { (report.version) } }
            div { dt { "Format" } dd { (report.format) } }
        }
        @if !tasks.is_empty() {
            (table("The tasks", &["task", "kind", "metric", "training rows", "test rows"], &tasks))
        }
        @if !report.failed.is_empty() {
            h3 { "Runs that did not get through" }
            ul.failed { @for [run, reason] in &report.failed { li { code { (run) } ": " (reason) } } }
            p.note { "Nothing of them is in the numbers; what rests on them has fewer seeds or is missing." }
        }
        h3 { "How to read this page" }
        (reading())
    };
    Section { id: "method", short: "Method", title: "How it was done".into(), body, figures: Vec::new() }
}

fn reading() -> Markup {
    html! {
        dl.reading {
            dt { "alone, together" }
            dd { "A model for one task, and one model with a head a task, trained with the same budget a task." }
            dt { "95 % interval" }
            dd { "Where the mean would lie in 95 of 100 repetitions with other seeds. A line that crosses zero does not rule chance out." }
            dt { "helped, hurt, no evidence" }
            dd { "Better or worse with a corrected p below 0.05; all else is no evidence, which does not mean that there is no effect." }
            dt { "Δm" }
            dd { "Mean over tasks of the change in percent against each task alone (Maninis et al. 2019). One task with a low score can move it much." }
            dt { "cosine" }
            dd { "Of the angle between two tasks’ gradients: 1 is the same way, 0 is no relation, −1 is the opposite way." }
            dt { "affinity" }
            dd { "How much a step on one task lowers another’s loss at once (TAG; Fifty et al. 2021). Cheap, since one run gives all pairs." }
        }
    }
}
