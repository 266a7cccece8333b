//! The labels of a task and their order.

use super::columns::{Answer, Sample};
use super::readers::Place;
use super::suggest::{did_you_mean, listed, quoted};
use super::{Row, Target};
use crate::error::{Problem, Result};
use crate::recipe::TaskType;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

/// More classes than this are taken for a mistake.
pub const MOST_LABELS: usize = 10_000;

/// The labels of a task in their fixed order.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Whether data may name a label by its place, counted from 0.
    by_place: bool,
}

impl Labels {
    /// The labels as the recipe gives them, in its order. Data may hold their places (0, 1, …) instead of the labels
    /// themselves, as data sets on the Hub do, unless a label is itself a whole number.
    ///
    /// # Errors
    /// If a label is empty or there twice, or if there are too few or too many.
    pub fn given(names: &[String], kind: TaskType) -> Result<Self> {
        let by_place = !names.iter().any(|name| name.parse::<i64>().is_ok());
        let labels = Self::new(names.to_vec(), by_place);
        let twice = names.iter().enumerate().find(|&(place, name)| labels.numbers[name] as usize != place);
        let wrong = if let Some((_, name)) = twice {
            Some((format!("{} twice", quoted(name)), "every label once", "remove the second one"))
        } else if names.iter().any(|name| name.trim().is_empty()) {
            Some(("an empty label".into(), "a name for every label", "give it a name such as \"none\""))
        } else {
            None
        };
        if let Some((found, expected, help)) = wrong {
            return Err(Problem::new(found, expected, help).key("labels").recipe());
        }
        match labels.miscounted(kind) {
            Some(problem) => Err(problem.key("labels").recipe()),
            None => Ok(labels),
        }
    }

    /// The labels in the training samples: sorted by value if all are numbers, else as texts.
    ///
    /// # Errors
    /// If there are too few or too many; the error names `place`'s file and the label column.
    pub fn discover<'a>(
        samples: impl IntoIterator<Item = &'a Sample>,
        kind: TaskType,
        place: Place,
        column: &str,
    ) -> Result<Self> {
        let found: BTreeSet<&str> =
            samples.into_iter().flat_map(|sample| sample.answer.labels()).map(String::as_str).collect();
        let mut names: Vec<_> = found.into_iter().map(str::to_owned).collect();
        sort(&mut names);
        let labels = Self::new(names, false);
        match labels.miscounted(kind) {
            Some(problem) => Err(problem.file(place.file).key(column).data()),
            None => Ok(labels),
        }
    }

    fn new(names: Vec<String>, by_place: bool) -> Self {
        let numbers = names.iter().enumerate().rev().map(|(number, name)| (name.clone(), number as u32)).collect();
        Self { names, numbers, by_place }
    }

    fn miscounted(&self, kind: TaskType) -> Option<Problem> {
        let fewest = if kind == TaskType::MultiLabel { 1 } else { 2 };
        if self.names.len() < fewest {
            let found = match self.names.as_slice() {
                [] => "no labels".into(),
                names => format!("only the label {}", listed(names)),
            };
            let help = "check that the column is the label, or list all `labels` in the recipe";
            let expected = if fewest == 1 { "at least one label" } else { "at least two labels" };
            return Some(Problem::new(found, expected, help));
        }
        (self.names.len() > MOST_LABELS).then(|| {
            let found = format!("{} different labels", self.names.len());
            let help =
                "is it a number to predict? use `type = \"regression\"`; else check that the column is the label";
            Problem::new(found, format!("at most {MOST_LABELS}"), help)
        })
    }

    /// The labels in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a label.
    ///
    /// # Errors
    /// If it is none of the labels.
    pub fn number(&self, label: &str, place: Place, column: &str) -> Result<u32> {
        if let Some(&number) = self.numbers.get(label) {
            return Ok(number);
        }
        let by_place =
            label.parse::<u32>().ok().filter(|&number| self.by_place && (number as usize) < self.names.len());
        by_place.ok_or_else(|| {
            let expected = format!("one of the labels {}", listed(&self.names));
            let help = format!(
                "{}mend the row, or list every label in `labels` of the task",
                did_you_mean(label, &self.names)
            );
            place.problem(quoted(label), expected, help).key(column).data()
        })
    }

    /// The row of a sample.
    ///
    /// # Errors
    /// If one of its labels is unknown.
    pub fn row(&self, sample: Sample, place: Place, column: &str) -> Result<Row> {
        let number = |label: &String| self.number(label, place, column);
        let target = match &sample.answer {
            Answer::Label(label) => Target::Class(number(label)?),
            Answer::Value(value) => Target::Value(*value),
            Answer::Tags(tags) => Target::Tags(tags.iter().map(number).collect::<Result<_>>()?),
            Answer::Labels(labels) => {
                let numbers: BTreeSet<u32> = labels.iter().map(number).collect::<Result<_>>()?;
                Target::Classes(numbers.into_iter().collect())
            }
        };
        Ok(Row { input: sample.input, target })
    }
}

/// Numbers by value if all are finite numbers, else by their bytes.
fn sort(names: &mut [String]) {
    let value = |name: &String| name.parse::<f64>().ok().filter(|value| value.is_finite());
    if names.iter().all(|name| value(name).is_some()) {
        let order = |a: &String, b: &String| value(a).partial_cmp(&value(b)).unwrap_or(Ordering::Equal);
        names.sort_by(|a, b| order(a, b).then_with(|| a.cmp(b)));
    } else {
        names.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value_and_texts_by_bytes() {
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            sort(&mut names);
            names
        };
        assert_eq!(sorted(&["10", "9", "-1"]), ["-1", "9", "10"]);
        assert_eq!(sorted(&["1.5", "1", "01"]), ["01", "1", "1.5"]);
        assert_eq!(sorted(&["10", "9", "x"]), ["10", "9", "x"]);
        assert_eq!(sorted(&["nan", "10", "9"]), ["10", "9", "nan"]);
        assert_eq!(sorted(&["O", "I-a", "B-a"]), ["B-a", "I-a", "O"]);
    }
}
