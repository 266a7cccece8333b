//! From records to samples: which column holds what, for each type of task.

use super::Input;
use super::readers::{Cell, Place, Record};
use crate::error::{Problem, Result};
use crate::recipe::{Columns, TaskType};

/// What a data file says the head should answer; labels are still texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One label.
    Label(String),
    /// Any number of labels.
    Labels(Vec<String>),
    /// A finite number.
    Value(f32),
    /// One tag a word.
    Tags(Vec<String>),
}

impl Answer {
    /// The labels or tags in it.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Label(label) => std::slice::from_ref(label),
            Self::Labels(labels) | Self::Tags(labels) => labels,
            Self::Value(_) => &[],
        }
    }
}

/// One row of a data file before its labels have numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What the head reads.
    pub input: Input,
    /// What it should answer.
    pub answer: Answer,
    /// Line or row in its file.
    pub number: usize,
}

/// The columns that a task of this type reads, in the order in which [`sample`] expects their cells.
pub fn wanted(kind: TaskType, columns: &Columns) -> Vec<&str> {
    match (kind, &columns.pair) {
        (TaskType::TokenClassification, _) => vec![&columns.tokens, &columns.tags],
        (_, Some(pair)) => vec![&columns.text, pair, &columns.label],
        (_, None) => vec![&columns.text, &columns.label],
    }
}

/// The column that holds the answer.
pub fn answer_column(kind: TaskType, columns: &Columns) -> &str {
    match kind {
        TaskType::TokenClassification => &columns.tags,
        _ => &columns.label,
    }
}

/// Maps a record of the [`wanted`] columns.
///
/// # Errors
/// For missing texts and labels, for empty labels, for numbers that are not finite, and where words and tags differ in number.
pub fn sample(kind: TaskType, columns: &Columns, record: Record, place: Place) -> Result<Sample> {
    let mut cells = record.cells.into_iter();
    let mut next = || cells.next().unwrap_or(Cell::Null);
    let input = match (kind, &columns.pair) {
        (TaskType::TokenClassification, _) => Input::Words(words(next(), &columns.tokens, &columns.separator, place)?),
        (_, None) => Input::Text(text(next(), &columns.text, place)?),
        (_, Some(pair)) => Input::Pair(text(next(), &columns.text, place)?, text(next(), pair, place)?),
    };
    let (cell, column) = (next(), answer_column(kind, columns));
    let answer = match (kind, &input) {
        (TaskType::Classification, _) => Answer::Label(label(cell, column, place)?),
        (TaskType::MultiLabel, _) => Answer::Labels(labels(cell, column, &columns.separator, place)?),
        (TaskType::Regression, _) => Answer::Value(value(cell, column, place)?),
        (TaskType::TokenClassification, input) => {
            let tags = items(cell, "a list of tags, one a word", column, &columns.separator, place)?;
            let words = if let Input::Words(words) = input { words.len() } else { 0 };
            if tags.len() != words {
                let help = "give every word exactly one tag; `O` is the usual tag of words outside";
                let counts = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
                let problem = place.problem(counts(tags.len(), "tag"), counts(words, "tag") + ", one a word", help);
                return Err(problem.key(column).data());
            }
            Answer::Tags(tags)
        }
    };
    Ok(Sample { input, answer, number: record.number })
}

fn wrong(cell: &Cell, expected: &str, help: &str, column: &str, place: Place) -> crate::Error {
    place.problem(cell.describe(), expected, help).key(column).data()
}

fn text(cell: Cell, column: &str, place: Place) -> Result<String> {
    match cell {
        // Published data sets hold empty texts; they are counted for a warning (see `TaskData::empty`).
        Cell::Text(text) => Ok(text),
        Cell::Number(_, text) => Ok(text),
        Cell::Bool(value) => Ok(value.to_string()),
        Cell::List(_) => {
            let help = "join the words into one text, or use `type = \"token_classification\"` for one tag a word";
            Err(wrong(&cell, "a text", help, column, place))
        }
        _ => Err(wrong(&cell, "a text", "remove rows without text, or name another column", column, place)),
    }
}

/// A single label as text, if the cell is one.
fn scalar(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        Cell::Number(_, text) => Some(text.clone()),
        Cell::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn label(cell: Cell, column: &str, place: Place) -> Result<String> {
    let help = match cell {
        Cell::List(_) => "use `type = \"multi_label\"` where a row can have several labels",
        _ => "remove rows without label, or name another column",
    };
    scalar(&cell).ok_or_else(|| wrong(&cell, "one label", help, column, place))
}

fn labels(cell: Cell, column: &str, separator: &str, place: Place) -> Result<Vec<String>> {
    match cell {
        Cell::Text(text) => {
            pieces(&text, separator, column).map(|pieces| pieces.map(|piece| piece.trim().into()).collect())
        }
        cell @ (Cell::Number(..) | Cell::Bool(_)) => Ok(scalar(&cell).into_iter().collect()),
        cell => items(cell, "a list of labels, empty for none", column, separator, place),
    }
}

fn value(cell: Cell, column: &str, place: Place) -> Result<f32> {
    let number = match &cell {
        Cell::Number(number, _) => Some(*number),
        Cell::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let value = number.map(|number| number as f32).filter(|value| value.is_finite());
    value.ok_or_else(|| {
        let help = match &cell {
            Cell::Text(text) if text.contains(',') => "write numbers with a decimal point and no thousands separators",
            Cell::Text(text) if number.is_none() && !text.trim().is_empty() => {
                "use `type = \"classification\"` if the labels are names"
            }
            _ => "remove or mend rows without a finite number",
        };
        wrong(&cell, "a finite number", help, column, place)
    })
}

fn words(cell: Cell, column: &str, separator: &str, place: Place) -> Result<Vec<String>> {
    let expected = "a list of words";
    let nothing = matches!(&cell, Cell::List(list) if list.is_empty());
    let words = match cell {
        Cell::List(list) => {
            let word = |cell| match cell {
                Cell::Text(word) => Ok(word),
                other => scalar(&other).ok_or_else(|| {
                    let help = "every word is a text; write each as a string";
                    let problem = place.problem(format!("{} in the list", other.describe()), expected, help);
                    problem.key(column).data()
                }),
            };
            list.into_iter().map(word).collect::<Result<Vec<_>>>()?
        }
        other => items(other, expected, column, separator, place)?,
    };
    if words.iter().all(|word| word.trim().is_empty()) {
        let found = if nothing || words.is_empty() { "no words" } else { "only empty words" };
        return Err(place.problem(found, "at least one word", "remove rows without words").key(column).data());
    }
    Ok(words)
}

/// The items of a list, or of a text that separates them.
fn items(cell: Cell, expected: &str, column: &str, separator: &str, place: Place) -> Result<Vec<String>> {
    match cell {
        Cell::List(list) => {
            let item = |cell: &Cell| {
                scalar(cell).ok_or_else(|| {
                    let problem = place.problem(
                        format!("{} in the list", cell.describe()),
                        expected,
                        "every item of the list is a text, a number, true or false",
                    );
                    problem.key(column).data()
                })
            };
            list.iter().map(item).collect()
        }
        Cell::Text(text) => Ok(pieces(&text, separator, column)?.map(str::to_owned).collect()),
        other => {
            let help = "write a list, or a text with the items separated by `columns.separator`";
            Err(wrong(&other, expected, help, column, place))
        }
    }
}

/// The parts of a text between separators; parts of white space only do not count.
fn pieces<'a>(text: &'a str, separator: &'a str, column: &str) -> Result<impl Iterator<Item = &'a str>> {
    if separator.is_empty() {
        let help = "set `columns.separator` to what stands between the items, for example \" \" or \"|\"";
        return Err(Problem::new("an empty separator", "at least one character", help).key(column).recipe());
    }
    Ok(text.split(separator).filter(|piece| !piece.trim().is_empty()))
}
