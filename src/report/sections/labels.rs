//! Fewer labels.

use super::Section;
use crate::report::figure::table;
use crate::report::figures;
use crate::report::words;
use crate::study::Report;
use maud::html;

pub(super) fn section(report: &Report) -> Option<Section> {
    let labels = report.labels.as_ref()?;
    let figure = figures::curves(labels, report.tasks.get(&labels.task).map(|facts| facts.metric));
    let rows: Vec<_> =
        labels.saved.iter().map(|saved| vec![words::thousands(saved.rows), figures::needed(saved)]).collect();
    let body = html! {
        p.lead { (labels.headline) }
        @if let Some(figure) = &figure { (figure.html()) }
        @if !rows.is_empty() {
            (table("What labels are worth when they train with the other tasks", &["labels, together", "labels alone for the same score"], &rows))
            p.note { (words::count(labels.most, "label", "labels")) " of " (labels.task) " are there, " (words::thousands(labels.used)) " are what the recipe uses." }
        }
    };
    Some(Section {
        id: "labels",
        short: "Fewer labels?",
        title: "Fewer labels?".into(),
        body,
        figures: figure.into_iter().collect(),
    })
}
