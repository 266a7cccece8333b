//! Which task helps which.

use super::Section;
use crate::report::figures::{self, Kind};
use crate::report::words;
use crate::study::Report;
use crate::study::report::Foretold;
use maud::html;

pub(super) fn section(report: &Report) -> Option<Section> {
    let transfer = report.transfer.as_ref()?;
    let mut figures: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| figures::transfer(transfer, kind)).collect();
    if figures.is_empty() {
        return None;
    }
    // Side by side only if all are small.
    let halves = figures.iter().all(|figure| figure.half);
    figures.iter_mut().for_each(|figure| figure.half = halves);
    let body = html! {
        p { "Rows are targets, columns are sources: read along a row to see what helps a task, down a column to see what a task does to others. Blue with + helps, orange with − hurts; bold numbers with an outline are beyond chance." }
        div.halves[halves] { @for figure in &figures { (figure.html()) } }
        @if !transfer.foretold.is_empty() {
            h3 { "Does the cheap measure foretell the expensive ones?" }
            ul.sentences { @for foretold in &transfer.foretold { li { (sentence(foretold)) } } }
        }
    };
    Some(Section { id: "transfer", short: "Transfer", title: "Which task helps which".into(), body, figures })
}

fn sentence(foretold: &Foretold) -> String {
    let matrix = &foretold.matrix;
    let pairs = words::count(foretold.pairs, "pair", "pairs");
    let Some(rho) = foretold.rho.filter(|rho| rho.is_finite()) else {
        return format!("Whether affinity foretells “{matrix}” cannot be told from {pairs}.");
    };
    let p = foretold.p.map_or("not tested".into(), words::probability);
    let numbers = format!("(Spearman’s ρ = {}, {p}, {pairs})", words::decimals(rho, 2));
    match foretold.p {
        Some(p) if p < 0.05 && rho > 0.0 => format!("Affinity foretells “{matrix}” better than chance {numbers}."),
        Some(p) if p < 0.05 => format!("Affinity ranks “{matrix}” the wrong way round {numbers}."),
        _ => format!("Affinity does not foretell “{matrix}” beyond chance {numbers}."),
    }
}
