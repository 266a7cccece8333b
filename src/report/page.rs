//! The page: one HTML file that needs nothing but itself.

use super::colours;
use super::figure::STYLE;
use super::sections::Section;
use super::words;
use crate::study::Report;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Nothing may be loaded or run: whatever stands in a name, the page is only text and shapes.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole document.
pub(super) fn html(report: &Report, sections: &[Section]) -> String {
    let style = format!("{}{}{STYLE}", colours::variables(), include_str!("page.css"));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="description" content=(report.headline);
                meta name="generator" content=(format!("mtl-zoo {}", report.version));
                title { (report.name) ": what joint training did" }
                style { (PreEscaped(style)) }
            }
            body {
                a.skip href="#main" { "Skip to the findings" }
                (header(report, sections))
                main #main {
                    @for section in sections {
                        section id=(section.id) aria-labelledby=(format!("{}-heading", section.id)) {
                            h2 id=(format!("{}-heading", section.id)) { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    p { "Made by mtl-zoo " (report.version) ". The same numbers are in " code { "report.json" } ", the figures as SVG and PNG in " code { "figures/" } "." }
                }
            }
        }
    }
    .into_string()
}

fn header(report: &Report, sections: &[Section]) -> Markup {
    let facts = [
        words::count(report.tasks.len(), "task", "tasks"),
        words::count(report.seeds.len(), "seed", "seeds"),
        words::count(report.runs, "run", "runs"),
        report.backbone.clone(),
        format!("balanced by {}", report.balance),
    ];
    html! {
        header {
            nav aria-label="Sections" {
                @for section in sections { a href=(format!("#{}", section.id)) { (section.short) } }
            }
            h1 { (report.name) }
            p.headline { (report.headline) }
            p.facts { @for (index, fact) in facts.iter().enumerate() { @if index > 0 { " · " } span { (fact) } } }
        }
    }
}
