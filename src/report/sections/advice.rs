//! What to do.

use super::Section;
use crate::report::words;
use crate::study::Report;
use crate::study::report::Certainty;
use maud::html;

pub(super) fn section(report: &Report) -> Option<Section> {
    if report.advice.is_empty() {
        return None;
    }
    let dots = |certainty| match certainty {
        Certainty::Sure => "●●●",
        Certainty::Likely => "●●○",
        Certainty::Unsure => "●○○",
    };
    let body = html! {
        ol.cards {
            @for advice in &report.advice {
                li.card {
                    p.certainty.(words::certainty(advice.certainty)) {
                        span aria-hidden="true" { (dots(advice.certainty)) } " " (words::certainty(advice.certainty))
                    }
                    h3 { (advice.what) }
                    @if !advice.because.is_empty() { ul { @for reason in &advice.because { li { (reason) } } } }
                    @if let Some(change) = &advice.change { p.change { b { "In the recipe: " } (change) } }
                }
            }
        }
    };
    Some(Section { id: "advice", short: "What to do", title: "What to do".into(), body, figures: Vec::new() })
}
