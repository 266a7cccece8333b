//! What commands print: tables, JSON, numbers, warnings.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use indexmap::IndexMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process leaves printing to another.
static SILENT: AtomicBool = AtomicBool::new(false);
/// This process's rank, if there are several.
static RANK: OnceLock<usize> = OnceLock::new();

/// Prints nothing from now on but complaints.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Says from now on which rank it is that complains, if it is not the first.
pub fn name_rank(rank: usize) {
    let _ = RANK.set(rank);
}

pub fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// A line on stderr. That nobody reads it is no reason to fail.
pub fn note(line: impl Display) {
    if !is_silent() {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// A line on stderr that has to be said, in a silent process too.
pub fn complain(line: impl Display) {
    let _ = match RANK.get() {
        Some(rank @ 1..) => writeln!(io::stderr(), "rank {rank}: {line}"),
        _ => writeln!(io::stderr(), "{line}"),
    };
}

/// A warning on stderr.
pub fn warn(text: impl Display) {
    note(format_args!("{} {text}", colour("33", "warning:")));
}

/// Text and a line break on stdout.
pub fn print(text: impl Display) -> io::Result<()> {
    if is_silent() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// One JSON document on stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(print(serde_json::to_string(value)?)?)
}

/// Red on a terminal's stderr.
pub fn red(text: &str) -> String {
    colour("1;31", text)
}

fn colour(code: &str, text: &str) -> String {
    if has_colours(io::stderr().is_terminal()) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
}

/// Whether a stream shows colours: terminals do, unless `NO_COLOR` says otherwise.
pub fn has_colours(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A table for stdout. Columns of numbers are aligned at the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    table_for(header, rows, has_colours(io::stdout().is_terminal()))
}

/// A table for any stream; `styled` if it shows colours.
pub fn table_for(header: &[&str], rows: &[Vec<String>], styled: bool) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if styled {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let title = |text: &&str| {
        let cell = Cell::new(text);
        if styled { cell.add_attribute(Attribute::Bold) } else { cell }
    };
    table.set_header(header.iter().map(title));
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let mut cells = rows.iter().filter_map(|row| row.get(index)).filter(|cell| !cell.is_empty()).peekable();
        if cells.peek().is_some() && cells.all(|cell| is_number(cell)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn is_number(cell: &str) -> bool {
    cell == NONE || cell.replace(',', "").parse::<f64>().is_ok()
}

const NONE: &str = "–";

/// A score with four digits; a dash for one that is not defined.
pub fn score(value: Option<f64>) -> String {
    value.map_or(NONE.into(), |value| format!("{value:.4}"))
}

/// Values by metric.
pub type Metrics = IndexMap<String, Option<f64>>;

/// One line a metric, one column a split: `[(task, [(split, metrics)])]`.
pub fn score_table(tasks: &[(&str, Vec<(&str, &Metrics)>)]) -> String {
    let mut splits: Vec<&str> = Vec::new();
    for (split, metrics) in tasks.iter().flat_map(|(_, columns)| columns) {
        if !metrics.is_empty() && !splits.contains(split) {
            splits.push(split);
        }
    }
    let mut rows = Vec::new();
    for (task, columns) in tasks {
        let Some((_, names)) = columns.iter().find(|(_, metrics)| !metrics.is_empty()) else { continue };
        for (index, metric) in names.keys().enumerate() {
            let mut row = vec![if index == 0 { (*task).to_owned() } else { String::new() }, metric.clone()];
            row.extend(splits.iter().map(|split| {
                let metrics = columns.iter().find(|(name, _)| name == split).map(|(_, metrics)| metrics);
                score(metrics.and_then(|metrics| metrics.get(metric).copied().flatten()))
            }));
            rows.push(row);
        }
    }
    let header: Vec<&str> = ["task", "metric"].into_iter().chain(splits).collect();
    table(&header, &rows)
}

/// A number with a comma before every third digit.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let comma = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    digits
        .chars()
        .enumerate()
        .flat_map(|(index, digit)| comma(index).then_some(',').into_iter().chain([digit]))
        .collect()
}

/// Bytes in whole megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", thousands(bytes.div_ceil(1_000_000) as usize))
}

/// A text in one line of at most so many characters.
pub fn shorten(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(most) {
        Some((end, _)) => text[..end].chars().map(clean).chain(['…']).collect(),
        None => text.chars().map(clean).collect(),
    }
}

/// `1h04m`, `3m20s` or `12s`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([4.4, 61.0, 3700.0].map(duration), ["4s", "1m01s", "1h01m"]);
        assert_eq!((score(None), score(Some(0.5))), ("–".into(), "0.5000".into()));
        assert_eq!(shorten("größer\tals", 8), "größer a…");
    }
}
