//! Answers of `predict` as a table, as JSON lines or as CSV.

use super::output;
use anyhow::Result;
use clap::ValueEnum;
use indexmap::IndexMap;
use mtl_zoo::Input;
use mtl_zoo::checkpoint::{Answer, Manifest};
use mtl_zoo::recipe::TaskType;
use serde_json::json;
use std::io::{self, BufWriter, StdoutLock, Write};

/// How answers are printed.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Format {
    /// For people: the answer and its probability.
    Table,
    /// One JSON object an input, with every probability.
    Jsonl,
    /// One row an input, one column an answer and one a probability.
    Csv,
}

/// Writes answers to stdout.
pub struct Writer {
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    /// Whether the header of the CSV is written.
    started: bool,
}

/// Characters of a text in a table.
const SHOWN: usize = 60;

impl Writer {
    /// A writer in this format.
    pub fn new(format: Format) -> Self {
        Self { format, out: BufWriter::new(io::stdout().lock()), started: false }
    }

    /// Writes the answers of `heads` to `inputs`.
    pub fn write(
        &mut self,
        manifest: &Manifest,
        heads: &[&str],
        inputs: &[Input],
        answers: &[IndexMap<String, Answer>],
    ) -> Result<()> {
        match self.format {
            Format::Table => self.table(heads, inputs, answers)?,
            Format::Jsonl => self.jsonl(inputs, answers)?,
            Format::Csv => self.csv(manifest, heads, inputs, answers)?,
        }
        Ok(self.out.flush()?)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn table(&mut self, heads: &[&str], inputs: &[Input], answers: &[IndexMap<String, Answer>]) -> Result<()> {
        let row = |(input, answers): (&Input, &IndexMap<String, Answer>)| {
            let text = match input {
                Input::Text(text) => output::shorten(text, SHOWN),
                Input::Pair(one, other) => [one, other].map(|text| output::shorten(text, SHOWN)).join(" | "),
                Input::Words(words) => output::shorten(&words.join(" "), SHOWN),
            };
            let cell = |head: &&str| answers.get(*head).map_or(String::new(), in_words);
            std::iter::once(text).chain(heads.iter().map(cell)).collect()
        };
        let rows: Vec<Vec<String>> = inputs.iter().zip(answers).map(row).collect();
        let header: Vec<&str> = std::iter::once("text").chain(heads.iter().copied()).collect();
        Ok(writeln!(self.out, "{}", output::table(&header, &rows))?)
    }

    fn jsonl(&mut self, inputs: &[Input], answers: &[IndexMap<String, Answer>]) -> Result<()> {
        for (input, answers) in inputs.iter().zip(answers) {
            let mut line = match input {
                Input::Text(text) => json!({"text": text}),
                Input::Pair(text, pair) => json!({"text": text, "pair": pair}),
                Input::Words(tokens) => json!({"tokens": tokens}),
            };
            line["heads"] = json!(answers);
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn csv(
        &mut self,
        manifest: &Manifest,
        heads: &[&str],
        inputs: &[Input],
        answers: &[IndexMap<String, Answer>],
    ) -> Result<()> {
        let mut csv = csv::Writer::from_writer(&mut self.out);
        if !self.started {
            let mut header = vec!["text".to_owned(), "pair".to_owned()];
            for head in heads {
                let info = &manifest.heads[*head];
                header.push((*head).to_owned());
                match info.kind {
                    TaskType::Classification | TaskType::MultiLabel => {
                        header.extend(info.labels.iter().map(|label| format!("{head}.{label}")));
                    }
                    TaskType::Regression | TaskType::TokenClassification => {}
                }
            }
            csv.write_record(header)?;
            self.started = true;
        }
        for (input, answers) in inputs.iter().zip(answers) {
            let mut row = match input {
                Input::Text(text) => vec![text.clone(), String::new()],
                Input::Pair(text, pair) => vec![text.clone(), pair.clone()],
                Input::Words(words) => vec![words.join(" "), String::new()],
            };
            heads.iter().filter_map(|head| answers.get(*head)).for_each(|answer| flatten(answer, &mut row));
            csv.write_record(row)?;
        }
        Ok(csv.flush()?)
    }
}

/// The most likely answer, for a table.
fn in_words(answer: &Answer) -> String {
    let probability = |map: &IndexMap<String, f32>, label: &String| format!("{label} {:.3}", map[label]);
    match answer {
        Answer::Label { label, probabilities } => probability(probabilities, label),
        Answer::Labels { labels, .. } if labels.is_empty() => "(none)".into(),
        Answer::Labels { labels, probabilities } => {
            labels.iter().map(|label| probability(probabilities, label)).collect::<Vec<_>>().join(", ")
        }
        Answer::Score { score } => format!("{score:.3}"),
        Answer::Tags { tokens, tags, .. } => {
            let tagged = tokens.iter().zip(tags).map(|(token, tag)| match tag.as_deref() {
                Some("O") => token.clone(),
                Some(tag) => format!("{token}/{tag}"),
                None => format!("{token}/?"),
            });
            tagged.collect::<Vec<_>>().join(" ")
        }
    }
}

fn flatten(answer: &Answer, row: &mut Vec<String>) {
    let numbers = |map: &IndexMap<String, f32>| map.values().map(f32::to_string).collect::<Vec<_>>();
    match answer {
        Answer::Label { label, probabilities } => {
            row.push(label.clone());
            row.extend(numbers(probabilities));
        }
        Answer::Labels { labels, probabilities } => {
            row.push(labels.join(" "));
            row.extend(numbers(probabilities));
        }
        Answer::Score { score } => row.push(score.to_string()),
        Answer::Tags { tags, .. } => {
            row.push(tags.iter().map(|tag| tag.as_deref().unwrap_or("?")).collect::<Vec<_>>().join(" "));
        }
    }
}
