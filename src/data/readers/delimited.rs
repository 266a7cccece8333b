//! CSV and TSV: a header, then one record a line; quoting as RFC 4180 in both.

use super::{Cell, Place, Record, line_breaks, no_rows, positions};
use crate::error::{Problem, Result};
use crate::recipe::Format;
use std::path::Path;

/// Reads the records of the text.
pub(super) fn read(text: &str, delimiter: u8, format: Format, columns: &[&str], path: &Path) -> Result<Vec<Record>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(text.as_bytes());
    let mut lines = Lines { text, byte: 0, line: 1 };
    let mut record = csv::StringRecord::new();
    let mut header: Option<(usize, Vec<usize>)> = None;
    let mut records = Vec::new();
    loop {
        let start = reader.position().byte() as usize;
        // The text was checked to be UTF-8 and lengths may differ, so this fails for no text.
        let more = reader.read_record(&mut record).map_err(|error| {
            let help = "check the quotes around it";
            Problem::new(error.to_string(), "a record", help).file(path).line(lines.line).data()
        })?;
        if !more {
            break;
        }
        let (number, raw) = lines.record(start, reader.position().byte() as usize);
        let place = Place { file: path, format, number };
        check_quotes(raw, delimiter, place)?;
        match &header {
            None => {
                let names: Vec<_> = record.iter().map(str::trim).collect();
                header = Some((record.len(), positions(columns, &names, path, Some(number))?));
            }
            Some((width, _)) if record.len() != *width => return Err(ragged(record.len(), *width, place)),
            Some((_, wanted)) => {
                let cells = wanted.iter().map(|&place| Cell::Text(record[place].to_owned())).collect();
                records.push(Record { number, cells });
            }
        }
    }
    match (header, records.is_empty()) {
        (None, _) => Err(no_rows("only blank lines", path)),
        (Some(_), true) => Err(no_rows("a header and nothing below it", path)),
        _ => Ok(records),
    }
}

fn ragged(found: usize, expected: usize, place: Place) -> crate::Error {
    let help = "put fields that hold the delimiter or a line break in double quotes";
    let fields = |count: usize| if count == 1 { "1 field".into() } else { format!("{count} fields") };
    place.problem(fields(found), format!("{} as in the header", fields(expected)), help).data()
}

/// Counts lines along the text.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// The line on which the record between two bytes starts, and its text. The parser counts blank lines before a
    /// record as its own; a reader of an error message does not.
    fn record(&mut self, start: usize, end: usize) -> (usize, &'a str) {
        let bytes = self.text.as_bytes();
        let end = end.min(bytes.len());
        let blank = bytes[start..end].iter().take_while(|&&byte| byte == b'\n' || byte == b'\r').count();
        let first = start + blank;
        self.line += line_breaks(&bytes[self.byte..first]);
        // A `\r\n` that is cut between two records would count twice.
        if first > 0 && first < bytes.len() && bytes[first - 1] == b'\r' && bytes[first] == b'\n' {
            self.line -= 1;
        }
        self.byte = first;
        (self.line, self.text.get(first..end).unwrap_or_default())
    }
}

/// Refuses what a CSV parser would read without complaint, but not as it was meant: a quoted field that never ends, or
/// that goes on behind its closing quote. Quotes inside a field that does not start with one are plain characters.
fn check_quotes(raw: &str, delimiter: u8, place: Place) -> Result<()> {
    if !raw.contains('"') {
        return Ok(());
    }
    let bytes = raw.trim_end_matches(['\n', '\r']).as_bytes();
    let mut next = 0;
    while next < bytes.len() {
        if bytes[next] == b'"' {
            let start = next;
            let wrong = |found: &str| {
                let place = Place { number: place.number + line_breaks(&bytes[..start]), ..place };
                let help = "write a quote inside a quoted field as two quotes, and quote fields that start with one";
                Err(place.problem(found, "a quoted field as RFC 4180 writes it", help).data())
            };
            next += 1;
            loop {
                match (bytes.get(next), bytes.get(next + 1)) {
                    (None, _) => return wrong("a double quote that is never closed"),
                    (Some(b'"'), Some(b'"')) => next += 2,
                    (Some(b'"'), after) if after.is_none_or(|&after| after == delimiter) => break next += 1,
                    (Some(b'"'), _) => return wrong("text behind the closing quote of a field"),
                    _ => next += 1,
                }
            }
        }
        while next < bytes.len() && bytes[next] != delimiter {
            next += 1;
        }
        next += 1;
    }
    Ok(())
}
