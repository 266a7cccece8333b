//! One file a section of the page. A section without anything to show is `None` and leaves no trace.

mod advice;
mod conflict;
mod helped;
mod labels;
mod method;
mod time;
mod transfer;

use super::figure::Figure;
use crate::study::Report;
use maud::Markup;

/// A part of the page with a heading and a place in the navigation.
pub(super) struct Section {
    /// In links.
    pub id: &'static str,
    /// In the navigation.
    pub short: &'static str,
    /// The heading.
    pub title: String,
    /// What is below it.
    pub body: Markup,
    /// The figures of the body, for files.
    pub figures: Vec<Figure>,
}

/// All sections that have something to show.
pub(super) fn all(report: &Report) -> Vec<Section> {
    let sections = [
        helped::section(report),
        labels::section(report),
        time::section(report),
        transfer::section(report),
        conflict::section(report),
        advice::section(report),
        Some(method::section(report)),
    ];
    sections.into_iter().flatten().collect()
}
