//! The report of a study as people look at it: one HTML page, and its figures as SVG and PNG.
//!
//! All numbers come from [`Report`]; here they only get their places.

mod canvas;
mod card;
mod colours;
mod figure;
mod figures;
mod page;
mod png;
#[cfg(test)]
mod sample;
mod scale;
mod sections;
#[cfg(test)]
mod tests;
pub mod words;

pub use card::{card_section, read};

use crate::error::{IoContext, Result};
use crate::files::write_file;
use crate::study::Report;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the page in its folder.
pub const PAGE: &str = "report.html";
/// Name of the numbers in the same folder.
pub const NUMBERS: &str = "report.json";
/// Name of the folder with the figures.
pub const FIGURES: &str = "figures";

/// The files of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The numbers.
    pub numbers: PathBuf,
    /// SVG and PNG of each figure, in the page's order.
    pub figures: Vec<PathBuf>,
}

/// Writes `report.html`, `report.json`, and each figure as `figures/NAME.svg` and, at twice its size, `figures/NAME.png`.
///
/// The same report gives the same bytes. Each file appears whole or not at all; older ones of the same names are replaced,
/// others are left alone.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be written or a figure cannot be drawn.
pub fn write(report: &Report, folder: &Path) -> Result<Written> {
    let figures = folder.join(FIGURES);
    std::fs::create_dir_all(&figures).at("create", &figures)?;
    let sections = sections::all(report);
    let mut written = Written { page: folder.join(PAGE), numbers: folder.join(NUMBERS), figures: Vec::new() };
    for figure in sections.iter().flat_map(|section| &section.figures) {
        let svg = figure.standalone();
        let path = figures.join(figure.name);
        for (extension, bytes) in [("png", png::draw(&svg)?), ("svg", svg.into_bytes())] {
            let path = path.with_extension(extension);
            save(&path, &bytes)?;
            written.figures.push(path);
        }
    }
    let json = serde_json::to_string_pretty(report).map_err(io::Error::from).at("write", &written.numbers)?;
    save(&written.numbers, (json + "\n").as_bytes())?;
    // Last: who sees the page finds all that it speaks of.
    save(&written.page, page::html(report, &sections).as_bytes())?;
    Ok(written)
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file(path, |out| out.write_all(bytes).at("write", path))
}
