//! Inputs of `predict`, read piece by piece.

use anyhow::Result;
use mtl_zoo::error::IoContext;
use mtl_zoo::{Error, Input, Problem};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Inputs from arguments, a file or stdin.
pub struct Inputs {
    path: PathBuf,
    items: Box<dyn Iterator<Item = Result<Input, Error>>>,
    any: bool,
}

/// A line of JSON.
#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    pair: Option<String>,
    tokens: Option<Vec<String>>,
}

impl Inputs {
    /// Inputs that are there already.
    pub fn given(inputs: Vec<Input>) -> Self {
        Self { path: "arguments".into(), items: Box::new(inputs.into_iter().map(Ok)), any: false }
    }

    /// One text a line; empty lines are left out. `path` is for messages.
    pub fn lines(reader: Box<dyn BufRead>, path: &Path) -> Self {
        let items = numbered(reader, path).map(|line| line.map(|(_, text)| Input::Text(text)));
        Self { path: path.to_owned(), items: Box::new(items), any: false }
    }

    /// The inputs of a file, whose extension says how they are written.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let help = "name the file; several files can be piped: `cat *.txt | mtl-zoo predict CHECKPOINT`";
            return Err(Problem::new("a folder", "a file with inputs", help)
                .file(path)
                .key("--input")
                .argument()
                .into());
        }
        if !path.exists() {
            let help = "check the path; a text itself is given without `--input`";
            return Err(Problem::new("no such file", "a file with inputs", help)
                .file(path)
                .key("--input")
                .argument()
                .into());
        }
        let reader = BufReader::new(File::open(path).at("read", path)?);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        Ok(match extension.as_deref() {
            Some("jsonl" | "ndjson" | "json") => {
                let shown = path.to_owned();
                let items =
                    numbered(Box::new(reader), path).map(move |line| line.and_then(|(n, text)| json(&shown, n, &text)));
                Self { path: path.to_owned(), items: Box::new(items), any: false }
            }
            Some("csv") => Self::delimited(reader, b',', path)?,
            Some("tsv") => Self::delimited(reader, b'\t', path)?,
            Some("parquet") => {
                let help = "convert it to .jsonl or .csv; `mtl-zoo eval --data` reads parquet with labels";
                let expected = "lines of text, .jsonl, .csv or .tsv";
                return Err(Problem::new("a parquet file", expected, help).file(path).key("--input").argument().into());
            }
            _ => Self::lines(Box::new(reader), path),
        })
    }

    fn delimited(reader: BufReader<File>, delimiter: u8, path: &Path) -> Result<Self> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter).flexible(true);
        if delimiter == b'\t' {
            builder.quoting(false);
        }
        let mut reader = builder.from_reader(reader);
        let header = reader.headers().map_err(|error| unreadable(path, &error))?.clone();
        let column = |name| header.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
        let Some(text) = column("text") else {
            let names: Vec<_> = header.iter().map(|name| format!("`{name}`")).collect();
            let found = format!("the columns {}", names.join(", "));
            let help = "rename the column, or cut it out into a plain text file";
            return Err(Problem::new(found, "a column `text`", help).file(path).line(1).key("text").data().into());
        };
        let (pair, shown) = (column("pair"), path.to_owned());
        let items = reader.into_records().map(move |record| {
            let record = record.map_err(|error| unreadable(&shown, &error))?;
            let line = record.position().map_or(0, |position| position.line() as usize);
            let cell = |column: usize, name: &str| match record.get(column) {
                Some(cell) => Ok(cell.to_owned()),
                None => Err(nothing(&shown, line, record.len(), name)),
            };
            let text = cell(text, "text")?;
            pair.map_or(Ok(Input::Text(text.clone())), |pair| Ok(Input::Pair(text, cell(pair, "pair")?)))
        });
        Ok(Self { path: path.to_owned(), items: Box::new(items), any: false })
    }

    /// The next inputs, at most so many; `None` at the end.
    ///
    /// # Errors
    /// If an input cannot be read, or there is none at all.
    pub fn next(&mut self, most: usize) -> Result<Option<Vec<Input>>> {
        let chunk = self.items.by_ref().take(most).collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() && !self.any {
            let help = "write one text a line; empty lines do not count";
            return Err(Problem::new("no text", "at least one", help).file(&self.path).data().into());
        }
        self.any = true;
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// Lines that are not blank, with their numbers.
fn numbered(reader: Box<dyn BufRead>, path: &Path) -> impl Iterator<Item = Result<(usize, String), Error>> + 'static {
    let path = path.to_owned();
    let line = move |(index, line): (usize, io::Result<String>)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) if index == 0 => Some(Ok((1, line.trim_start_matches('\u{feff}').to_owned()))),
        Ok(line) => Some(Ok((index + 1, line))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Err(not_utf8(&path, index + 1))),
        Err(error) => Some(Err(error).at("read", &path)),
    };
    reader.lines().enumerate().filter_map(line)
}

fn json(path: &Path, line: usize, text: &str) -> Result<Input, Error> {
    let help = "write `{\"text\": \"…\"}`, `{\"text\": \"…\", \"pair\": \"…\"}` or `{\"tokens\": [\"…\", \"…\"]}`";
    let refuse = |found: String| {
        let expected = "an object with `text`, `text` and `pair`, or `tokens`";
        Err(Problem::new(found, expected, help).file(path).line(line).data())
    };
    let parsed: Line = match serde_json::from_str(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            return refuse(error.to_string().replace(&place, &format!(" at column {}", error.column())));
        }
    };
    match (parsed.text, parsed.pair, parsed.tokens) {
        (Some(text), None, None) => Ok(Input::Text(text)),
        (Some(text), Some(pair), None) => Ok(Input::Pair(text, pair)),
        (None, None, Some(tokens)) if tokens.iter().all(|token| token.trim().is_empty()) => {
            refuse("no words in `tokens`".into())
        }
        (None, None, Some(tokens)) => Ok(Input::Words(tokens)),
        (None, None, None) => refuse("neither `text` nor `tokens`".into()),
        (None, Some(_), _) => refuse("`pair` without `text`".into()),
        (Some(_), _, Some(_)) => refuse("both `text` and `tokens`".into()),
    }
}

fn nothing(path: &Path, line: usize, cells: usize, column: &str) -> Error {
    let help = "complete the row; a text with the separator in it goes in quotes";
    let problem = Problem::new(format!("a row of {cells} cells"), "a cell for each column of the first line", help);
    problem.file(path).line(line).key(column).data()
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, |position| position.line() as usize);
    if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) {
        return not_utf8(path, line);
    }
    let help = "check the file's quotes; .csv and .tsv begin with a line of column names";
    Problem::new(error.to_string(), "rows of text", help).file(path).line(line).data()
}

fn not_utf8(path: &Path, line: usize) -> Error {
    let help = "save the file as UTF-8, for example with `iconv -f LATIN1 -t UTF-8 OLD > NEW`";
    Problem::new("bytes that are not UTF-8", "UTF-8 text", help).file(path).line(line).data()
}
