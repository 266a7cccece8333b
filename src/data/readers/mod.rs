//! Data files to records: CSV, TSV, JSONL and Parquet give the same cells.
//!
//! Only the columns asked for are kept. Every problem is a typed error that names the file and the line (of CSV, TSV and
//! JSONL: the real line of the file, also behind quoted fields of several lines) or the row (of Parquet).

mod delimited;
mod jsonl;
mod parquet;

use super::suggest::{did_you_mean, listed, quoted};
use crate::error::{IoContext, Problem, Result};
use crate::hub::is_hub_uri;
use crate::recipe::Format;
use std::path::Path;

/// One value of a record, whatever the format it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text; every cell of CSV and TSV is one.
    Text(String),
    /// A number and how it is written.
    Number(f64, String),
    /// True or false.
    Bool(bool),
    /// A list.
    List(Vec<Cell>),
    /// No value.
    Null,
}

impl Cell {
    /// What the cell holds, for error messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(text) if text.is_empty() => "an empty text".into(),
            Self::Text(text) if text.trim().is_empty() => "a text of white space only".into(),
            Self::Text(text) => quoted(text),
            Self::Number(_, text) => format!("the number `{text}`"),
            Self::Bool(value) => format!("`{value}`"),
            Self::List(cells) => format!("a list of {} items", cells.len()),
            Self::Null => "no value (null)".into(),
        }
    }
}

/// The cells of one line or row, in the order of the columns asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The line of the file on which the record starts, or the row of a Parquet file; counted from 1.
    pub number: usize,
    /// One cell a column.
    pub cells: Vec<Cell>,
}

/// Where a record is, for error messages.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a Path,
    /// Its format.
    pub format: Format,
    /// The line or row.
    pub number: usize,
}

impl Place<'_> {
    /// A problem at this place: with a line where the format has lines, else with the row in the text.
    pub fn problem(&self, found: impl Into<String>, expected: impl Into<String>, help: impl Into<String>) -> Problem {
        if self.format == Format::Parquet {
            let found = format!("{} in row {}", found.into(), self.number);
            return Problem::new(found, expected, help).file(self.file);
        }
        Problem::new(found, expected, help).file(self.file).line(self.number)
    }
}

/// The format that a file's extension names: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` (one object a line), `.parquet`.
///
/// # Errors
/// For any other extension.
pub fn format_of(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("csv") => Ok(Format::Csv),
        Some("tsv") => Ok(Format::Tsv),
        Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
        Some("parquet") => Ok(Format::Parquet),
        other => Err(Problem::new(
            other.map_or_else(|| "a file name without extension".into(), |other| format!("the extension `.{other}`")),
            "`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` or `.parquet`",
            "rename or convert the file, or say what it is with `format = \"csv\"`, \"tsv\", \"jsonl\" or \"parquet\"",
        )
        .file(path)
        .data()),
    }
}

/// Reads the records of a file; its extension gives the format if `format` does not.
///
/// # Errors
/// If the file is absent, cannot be read as its format, lacks a column, or holds no record.
pub fn read_file(path: &Path, format: Option<Format>, columns: &[&str]) -> Result<(Format, Vec<Record>)> {
    let format = format.map_or_else(|| format_of(path), Ok)?;
    let cached = if is_hub_uri(path) { Some(super::remote::local(path)?) } else { None };
    let path = cached.as_deref().unwrap_or(path);
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let help = "check the path; a relative path in a recipe starts at the recipe's folder";
            return Err(Problem::new("no such file", "a data file", help).file(path).data());
        }
        other => other.at("read", path)?,
    };
    if file.metadata().at("read", path)?.is_dir() {
        let help = "name the file, or a list of files, inside the folder";
        return Err(Problem::new("a folder", "a data file", help).file(path).data());
    }
    let records = match format {
        Format::Parquet => parquet::read(file, path, columns)?,
        _ => read_bytes(&std::fs::read(path).at("read", path)?, format, columns, path)?,
    };
    Ok((format, records))
}

/// Reads the records of a file's bytes; `path` is for error messages only. Never panics, whatever the bytes.
///
/// # Errors
/// As [`read_file`].
pub fn read_bytes(bytes: &[u8], format: Format, columns: &[&str], path: &Path) -> Result<Vec<Record>> {
    if bytes.is_empty() {
        return Err(no_rows("an empty file", path));
    }
    match format {
        Format::Csv => delimited::read(text(bytes, path)?, b',', format, columns, path),
        Format::Tsv => delimited::read(text(bytes, path)?, b'\t', format, columns, path),
        Format::Jsonl => jsonl::read(text(bytes, path)?, columns, path),
        Format::Parquet => {
            let mut file = tempfile::tempfile().at("create", std::env::temp_dir())?;
            std::io::Write::write_all(&mut file, bytes).at("write", std::env::temp_dir())?;
            parquet::read(file, path, columns)
        }
    }
}

/// The bytes as text, without the byte order mark.
fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + line_breaks(&bytes[..error.valid_up_to()]);
        let found = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16".into(),
            _ => format!("byte 0x{:02x}, which is not UTF-8", bytes[error.valid_up_to()]),
        };
        let help = "save the file as UTF-8, for example with `iconv -f LATIN1 -t UTF-8 OLD > NEW`";
        Problem::new(found, "UTF-8 text", help).file(path).line(line).data()
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Line breaks as CSV counts them: `\n`, `\r\n` and a lone `\r`.
fn line_breaks(bytes: &[u8]) -> usize {
    let mut breaks = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        breaks += usize::from(byte == b'\n' || (byte == b'\r' && bytes.get(place + 1) != Some(&b'\n')));
    }
    breaks
}

/// Where each wanted column is among `names`.
fn positions<S: AsRef<str>>(columns: &[&str], names: &[S], path: &Path, line: Option<usize>) -> Result<Vec<usize>> {
    let at = |problem: Problem| match line {
        Some(line) => problem.file(path).line(line).data(),
        None => problem.file(path).data(),
    };
    let position = |column: &&str| {
        let mut places = (0..names.len()).filter(|&place| names[place].as_ref() == *column);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => {
                let problem = Problem::new("two columns of this name", "one", "rename one of them in the file");
                Err(at(problem.key(*column)))
            }
            (None, _) => Err(at(missing_column(column, names))),
        }
    };
    columns.iter().map(position).collect()
}

/// The columns there are, and which of them was probably meant.
fn missing_column<S: AsRef<str>>(column: &str, names: &[S]) -> Problem {
    let help = format!("{}name the right columns under `columns` of the task", did_you_mean(column, names));
    let there = if names.is_empty() { "no columns".into() } else { format!("the columns {}", listed(names)) };
    Problem::new(there, "a column of this name", help).key(column)
}

fn no_rows(found: &str, path: &Path) -> crate::Error {
    let help = "check that the file was written to its end, or name another file";
    Problem::new(found, "at least one row of data", help).file(path).data()
}
