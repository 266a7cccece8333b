//! Gradients that point against each other.

use super::Section;
use crate::report::figures;
use crate::study::Report;
use maud::html;

pub(super) fn section(report: &Report) -> Option<Section> {
    let conflict = report.conflict.as_ref()?;
    let cosines = figures::cosines(conflict);
    let layers = figures::layers(conflict);
    if cosines.is_none() && layers.is_none() {
        return None;
    }
    let body = html! {
        p.lead { (conflict.finding) }
        @for figure in cosines.iter().chain(&layers) { (figure.html()) }
    };
    Some(Section {
        id: "conflict",
        short: "Conflict",
        title: "Do the gradients conflict?".into(),
        body,
        figures: cosines.into_iter().chain(layers).collect(),
    })
}
