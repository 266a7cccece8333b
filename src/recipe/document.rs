//! A TOML document in which every key knows where it was written: in a recipe, in a card, or on the command line.

use super::source::{Base, SourceFile};
use crate::error::{Error, Problem, Result};
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// The way from the root to a value; list items are `[0]`, `[1]`, …
pub(crate) type KeyPath = Vec<String>;

/// A file, or an argument that stands for one.
#[derive(Debug)]
pub(crate) struct Place {
    pub shown: PathBuf,
    pub base: Base,
    pub argument: bool,
}

impl Place {
    pub fn file(source: &SourceFile) -> Arc<Self> {
        Arc::new(Self { shown: source.shown.clone(), base: source.base.clone(), argument: false })
    }

    pub fn argument(shown: &str) -> Arc<Self> {
        // Paths in arguments start at the current folder, as in any command.
        Arc::new(Self { shown: shown.into(), base: Base::Folder(PathBuf::new()), argument: true })
    }
}

/// Where a value was written, and how.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub place: Arc<Place>,
    pub line: Option<usize>,
    pub raw: Option<String>,
}

/// Values and the origin of each.
#[derive(Debug)]
pub(crate) struct Document {
    pub table: Table,
    origins: HashMap<KeyPath, Origin>,
    root: Origin,
}

impl Document {
    pub fn empty(place: Arc<Place>) -> Self {
        let line = (!place.argument).then_some(1);
        Self { table: Table::new(), origins: HashMap::new(), root: Origin { place, line, raw: None } }
    }

    pub fn parse(source: &SourceFile) -> Result<Self> {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let mut document = Self::empty(Place::file(source));
        let lines = Lines::new(text);
        let parsed = DeTable::parse(text).map_err(|error| syntax(source, text, &lines, &error))?;
        let mut reader = Reader { text, lines, document: &mut document, path: Vec::new() };
        let table = reader.table(parsed.get_ref())?;
        document.table = table;
        Ok(document)
    }

    pub fn get(&self, path: &[impl AsRef<str>]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.table.get(first.as_ref())?, |value, part| step(value, part.as_ref()))
    }

    /// The origin of a value, or of the nearest table above it; and whether it is the value's own.
    pub fn origin(&self, path: &[String]) -> (&Origin, bool) {
        (0..=path.len())
            .rev()
            .find_map(|n| Some((self.origins.get(&path[..n])?, n == path.len())))
            .unwrap_or((&self.root, path.is_empty()))
    }

    /// Says where a problem is.
    pub fn error(&self, path: &[String], problem: Problem) -> Error {
        let origin = self.origin(path).0;
        let mut problem = problem.file(&origin.place.shown);
        if let Some(line) = origin.line {
            problem = problem.line(line);
        }
        if !path.is_empty() {
            problem = problem.key(dotted(path));
        }
        if origin.place.argument { problem.argument() } else { problem.recipe() }
    }

    /// The value as a person wrote it, short enough for a message.
    pub fn written(&self, path: &[String]) -> Option<String> {
        let (origin, own) = self.origin(path);
        if !own {
            return None;
        }
        origin.raw.as_deref().map(short).or_else(|| self.get(path).map(describe))
    }

    /// Puts a value at `path`, making the tables on the way. `Err` has the path to what is in the way.
    pub fn set(&mut self, path: &[String], value: Value, origin: &Origin) -> Result<(), KeyPath> {
        let Some((last, parents)) = path.split_last() else { return Err(Vec::new()) };
        let mut table = &mut self.table;
        for (depth, part) in parents.iter().enumerate() {
            let child = table.entry(part.as_str()).or_insert_with(|| {
                let origin = Origin { raw: None, ..origin.clone() };
                self.origins.insert(path[..=depth].to_vec(), origin);
                Value::Table(Table::new())
            });
            let Value::Table(child) = child else { return Err(path[..=depth].to_vec()) };
            table = child;
        }
        let is_leaf = !matches!(value, Value::Table(_) | Value::Array(_));
        let children = if is_leaf { Vec::new() } else { paths_below(path, &value) };
        table.insert(last.clone(), value);
        self.forget(path);
        self.origins.insert(path.to_vec(), origin.clone());
        for child in children {
            let raw = self.get(&child).map(|value| value.to_string());
            self.origins.insert(child, Origin { raw, ..origin.clone() });
        }
        Ok(())
    }

    pub fn remove(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let table = parents.iter().try_fold(&mut self.table, |table, part| match table.get_mut(part) {
            Some(Value::Table(table)) => Some(table),
            _ => None,
        });
        if let Some(table) = table {
            table.remove(last);
            self.forget(path);
        }
    }

    /// Copies a value of another document, with its origins, to a path whose parents are tables.
    pub fn graft(&mut self, path: &[String], other: &Document, from: &[String]) {
        let Some(value) = other.get(from) else { return };
        let origin = other.origin(from).0;
        if self.set(path, value.clone(), origin).is_ok() {
            let below = other.origins.iter().filter(|(key, _)| key.len() > from.len() && key.starts_with(from));
            for (key, origin) in below {
                self.origins.insert([path, &key[from.len()..]].concat(), origin.clone());
            }
        }
    }

    fn forget(&mut self, path: &[String]) {
        self.origins.retain(|key, _| !key.starts_with(path));
    }
}

/// Reads parsed TOML with the positions of its keys.
struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    document: &'a mut Document,
    path: KeyPath,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>) -> Result<Table> {
        let mut result = Table::new();
        for (key, value) in table {
            self.path.push(key.get_ref().to_string());
            result.insert(key.get_ref().to_string(), self.value(value, key.span())?);
            self.path.pop();
        }
        Ok(result)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, position: Range<usize>) -> Result<Value> {
        let raw = self.text.get(value.span()).map(str::to_owned);
        let raw = raw.filter(|raw| !value.get_ref().is_table() || raw.starts_with('{'));
        let line = Some(self.lines.number(position.start));
        let place = self.document.root.place.clone();
        self.document.origins.insert(self.path.clone(), Origin { place, line, raw });
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) => Value::Integer(n),
                Err(_) => return Err(self.refuse("a whole number of at most 64 bits with sign")),
            },
            DeValue::Float(x) => match x.as_str().parse() {
                Ok(x) => Value::Float(x),
                Err(_) => return Err(self.refuse("a number")),
            },
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(time) => Value::Datetime(*time),
            DeValue::Table(table) => Value::Table(self.table(table)?),
            DeValue::Array(items) => {
                let mut result = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.push(format!("[{index}]"));
                    result.push(self.value(item, item.span())?);
                    self.path.pop();
                }
                Value::Array(result)
            }
        })
    }

    fn refuse(&self, expected: &str) -> Error {
        let found = self.document.written(&self.path).unwrap_or_default();
        self.document.error(&self.path, Problem::new(found, expected, "write a smaller number"))
    }
}

/// Line numbers by byte offset.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|&end| end < offset) + 1
    }
}

fn syntax(source: &SourceFile, text: &str, lines: &Lines, error: &toml::de::Error) -> Error {
    let line = lines.number(error.span().map_or(0, |span| span.start.min(text.len())));
    let written = text.lines().nth(line - 1).unwrap_or_default().trim();
    let found =
        if written.is_empty() { "an unfinished value or header".into() } else { format!("`{}`", short(written)) };
    let reason = error.message().lines().collect::<Vec<_>>().join(", ");
    let help = if reason.contains("duplicate key") {
        "keep one of the two; a table `[x]` may have its header only once"
    } else {
        "write `key = value` or `[table]`; text goes in quotes, lists in `[a, b]`"
    };
    Problem::new(found, format!("valid TOML ({reason})"), help).file(&source.shown).line(line).recipe()
}

fn step<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Table(table) => table.get(part),
        Value::Array(items) => items.get(part.strip_prefix('[')?.strip_suffix(']')?.parse::<usize>().ok()?),
        _ => None,
    }
}

fn paths_below(path: &[String], value: &Value) -> Vec<KeyPath> {
    let children: Vec<(String, &Value)> = match value {
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, value)| (format!("[{i}]"), value)).collect(),
        _ => Vec::new(),
    };
    let mut result = Vec::new();
    for (key, value) in children {
        let path = [path, &[key]].concat();
        result.extend(paths_below(&path, value));
        result.push(path);
    }
    result
}

/// `a.b[0]."c d"`
pub(crate) fn dotted(path: &[impl AsRef<str>]) -> String {
    let mut result = String::new();
    for part in path.iter().map(AsRef::as_ref) {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let dot = if result.is_empty() { "" } else { "." };
        if part.starts_with('[') {
            result.push_str(part);
        } else if part.is_empty() || !part.chars().all(bare) {
            let _ = write!(result, "{dot}{}", Value::String(short(part)));
        } else {
            let _ = write!(result, "{dot}{part}");
        }
    }
    result
}

/// One line of at most 60 characters.
pub(crate) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A value in a few words.
fn describe(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".into(),
        Value::Array(items) if items.iter().any(Value::is_table) => "a list of tables".into(),
        value => short(&value.to_string()),
    }
}
