//! The findings of a study in a terminal.

use mtl_zoo::study::Report;

/// A summary of at most 100 columns.
pub fn summary(report: &Report) -> String {
    report.headline.clone()
}
