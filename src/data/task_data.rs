//! All rows of one task, ready to tokenize.

use super::columns::{self, Sample};
use super::labels::Labels;
use super::readers::{self, Place};
use super::splits::divide;
use super::{Input, Row, Target, hex};
use crate::error::{Problem, Result};
use crate::recipe::{Files, Format, Split, Task, TaskType};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The rows of one task by split.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskData {
    /// Name of the task.
    pub name: String,
    /// What its head does.
    pub kind: TaskType,
    /// Labels in their order; empty for regression.
    pub labels: Vec<String>,
    /// Rows to train on.
    pub train: Vec<Row>,
    /// Rows that pick the best checkpoint.
    pub validation: Vec<Row>,
    /// Rows that are scored once at the end.
    pub test: Option<Vec<Row>>,
    /// What exactly was used: "train", "validation" and "test", if there is one.
    pub fingerprints: IndexMap<String, Fingerprint>,
    /// Rows outside of the training rows whose input is also in them.
    pub overlap: Overlap,
    /// Rows of all splits whose text is empty or white space: most likely a mistake in the data.
    pub empty: usize,
}

/// Identifies the rows of a split by content, wherever they are stored and in whatever format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: usize,
    /// SHA-256 over inputs and answers in order (see [`fingerprint`]), in hexadecimal.
    pub sha256: String,
}

/// How many rows of the other splits have an input that is also a training row's: their scores flatter the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// Rows of the validation split.
    pub validation: usize,
    /// Rows of the test split.
    pub test: usize,
}

impl TaskData {
    /// Reads the files of a task whose paths are resolved.
    ///
    /// Labels that the recipe does not give are those of all training files, before fractions and `limit` are taken.
    ///
    /// # Errors
    /// If a file cannot be read, a row cannot be used, or a split would be empty.
    pub fn load(name: &str, task: &Task) -> Result<Self> {
        let sources = read(task, &task.train)?;
        let labels = labels(task, &sources)?;
        let rows = rows(task, &labels, sources)?;
        let fraction = |split: &Split| if let Split::Fraction(fraction) = split { Some(*fraction) } else { None };
        let parts = divide(
            name,
            rows.len(),
            fraction(&task.validation),
            task.test.as_ref().and_then(fraction),
            task.limit,
            task.split_seed,
        )?;
        let own = |split: &Split, part: &[usize]| match split {
            Split::Files(files) => self::rows(task, &labels, read(task, files)?),
            Split::Fraction(_) => Ok(part.iter().map(|&row| rows[row].clone()).collect()),
        };
        let validation = own(&task.validation, &parts.validation)?;
        let test = task.test.as_ref().map(|split| own(split, &parts.test)).transpose()?;
        let train: Vec<Row> = parts.train.iter().map(|&row| rows[row].clone()).collect();

        let names = labels.names().to_vec();
        let mut fingerprints = IndexMap::new();
        let splits = [("train", Some(&train)), ("validation", Some(&validation)), ("test", test.as_ref())];
        for (split, rows) in splits.into_iter().filter_map(|(split, rows)| rows.map(|rows| (split, rows))) {
            fingerprints.insert(split.to_owned(), fingerprint(rows, &names));
        }
        let overlap = Overlap::new(&train, &validation, test.as_deref().unwrap_or_default());
        let all = train.iter().chain(&validation).chain(test.iter().flatten());
        let empty = all.filter(|row| is_empty(&row.input)).count();
        let name = name.into();
        Ok(Self { name, kind: task.kind, labels: names, train, validation, test, fingerprints, overlap, empty })
    }
}

fn is_empty(input: &Input) -> bool {
    match input {
        Input::Text(text) => text.trim().is_empty(),
        Input::Pair(first, second) => first.trim().is_empty() || second.trim().is_empty(),
        Input::Words(_) => false,
    }
}

impl Overlap {
    fn new(train: &[Row], validation: &[Row], test: &[Row]) -> Self {
        let known: HashSet<&Input> = train.iter().map(|row| &row.input).collect();
        let count = |rows: &[Row]| rows.iter().filter(|row| known.contains(&row.input)).count();
        Self { validation: count(validation), test: count(test) }
    }
}

/// Reads a file with the columns of a task whose labels are known, for example to evaluate a checkpoint on new rows. The
/// file's extension gives the format, and the task where the extension says nothing.
///
/// # Errors
/// If the file cannot be read, or a row cannot be used.
pub fn labelled_rows(task: &Task, labels: &[String], path: &Path) -> Result<Vec<Row>> {
    let labels = match task.kind {
        TaskType::Regression => Labels::default(),
        kind => Labels::given(labels, kind)?,
    };
    let format = readers::format_of(path).ok().or(task.format);
    rows(task, &labels, vec![Source::read(task, path, format)?])
}

/// The samples of one file.
struct Source {
    path: PathBuf,
    format: Format,
    samples: Vec<Sample>,
}

impl Source {
    fn read(task: &Task, path: &Path, format: Option<Format>) -> Result<Self> {
        let wanted = columns::wanted(task.kind, &task.columns);
        let (format, records) = readers::read_file(path, format, &wanted)?;
        let sample = |record: readers::Record| {
            let place = Place { file: path, format, number: record.number };
            columns::sample(task.kind, &task.columns, record, place)
        };
        let samples = records.into_iter().map(sample).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), format, samples })
    }
}

fn read(task: &Task, files: &Files) -> Result<Vec<Source>> {
    if files.paths().is_empty() {
        let help = "name a file, or leave the split out";
        return Err(Problem::new("an empty list of files", "at least one file", help).recipe());
    }
    files.paths().iter().map(|path| Source::read(task, path, task.format)).collect()
}

fn labels(task: &Task, sources: &[Source]) -> Result<Labels> {
    match (task.kind, &task.labels, sources.first()) {
        (TaskType::Regression, ..) => Ok(Labels::default()),
        (kind, Some(names), _) => Labels::given(names, kind),
        (kind, None, first) => {
            let file = first.map_or(Path::new(""), |source| &source.path);
            let place = Place { file, format: Format::Jsonl, number: 0 };
            let samples = sources.iter().flat_map(|source| &source.samples);
            Labels::discover(samples, kind, place, columns::answer_column(kind, &task.columns))
        }
    }
}

fn rows(task: &Task, labels: &Labels, sources: Vec<Source>) -> Result<Vec<Row>> {
    let column = columns::answer_column(task.kind, &task.columns);
    let mut rows = Vec::with_capacity(sources.iter().map(|source| source.samples.len()).sum());
    for Source { path, format, samples } in sources {
        for sample in samples {
            let place = Place { file: &path, format, number: sample.number };
            rows.push(labels.row(sample, place, column)?);
        }
    }
    Ok(rows)
}

/// Hashes rows in order. Every text is preceded by its length and every list by its number of items, as 64-bit little
/// endian; labels count as texts and numbers as 32-bit little-endian floats, so the order of the labels does not matter.
pub fn fingerprint(rows: &[Row], labels: &[String]) -> Fingerprint {
    let mut hash = Sha256::new();
    let length = |hash: &mut Sha256, length: usize| hash.update((length as u64).to_le_bytes());
    let text = |hash: &mut Sha256, text: &str| {
        length(hash, text.len());
        hash.update(text);
    };
    let label = |number: &u32| labels.get(*number as usize).map_or("", String::as_str);
    for row in rows {
        match &row.input {
            Input::Text(one) => text(&mut hash, one),
            Input::Pair(one, other) => [one, other].into_iter().for_each(|part| text(&mut hash, part)),
            Input::Words(words) => {
                length(&mut hash, words.len());
                words.iter().for_each(|word| text(&mut hash, word));
            }
        }
        match &row.target {
            Target::Class(class) => text(&mut hash, label(class)),
            Target::Value(value) => hash.update(value.to_le_bytes()),
            Target::Classes(numbers) | Target::Tags(numbers) => {
                let mut names: Vec<_> = numbers.iter().map(label).collect();
                if matches!(row.target, Target::Classes(_)) {
                    names.sort_unstable();
                }
                length(&mut hash, names.len());
                names.iter().for_each(|name| text(&mut hash, name));
            }
        }
    }
    Fingerprint { rows: rows.len(), sha256: hex(&hash.finalize()) }
}
