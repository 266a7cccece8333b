//! From serde's errors to messages that name line, key, what was found, what was expected and a remedy.

use super::document::{Document, KeyPath, dotted, short};
use super::suggest::{did_you_mean, list, nearest};
use crate::error::{Error, Problem, Result};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::{Table, Value};

/// Reads a document as `T`.
pub(crate) fn read<T: DeserializeOwned>(document: &Document) -> Result<T> {
    attempt(&document.table).map_err(|failure| explain::<T>(document, failure))
}

#[derive(PartialEq)]
struct Failure {
    path: KeyPath,
    message: String,
}

fn attempt<T: DeserializeOwned>(table: &Table) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(
        |error: serde_path_to_error::Error<toml::de::Error>| {
            let path = error.path().iter().map_while(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                Segment::Seq { index } => Some(format!("[{index}]")),
                Segment::Enum { .. } | Segment::Unknown => None,
            });
            Failure { path: path.collect(), message: error.inner().message().trim().to_owned() }
        },
    )
}

fn explain<T: DeserializeOwned>(document: &Document, failure: Failure) -> Error {
    let message = failure.message.as_str();
    if let Some((name, known)) = unknown(message, "field") {
        return unknown_key::<T>(document, failure.path, &name, &known);
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return missing_key::<T>(document, &failure.path, name);
    }
    let path = blame::<T>(document, &failure);
    let found = document.written(&path).unwrap_or_else(|| "a table".into());
    if let Some((name, known)) = unknown(message, "variant") {
        let help = match nearest(&name, known.iter().map(String::as_str)) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None => format!("write {}", quoted(&known)),
        };
        return document.error(&path, Problem::new(found, one_of(&known), help));
    }
    let (mut expected, mut known) = (in_words(after_expected(message)), Vec::new());
    if expected == ANY_NAME {
        (expected, known) = wanted::<T>(document, &path);
    }
    let help = if known.is_empty() {
        remedy(document.get(&path), &expected, &path)
    } else {
        format!("write {}", quoted(&known))
    };
    document.error(&path, Problem::new(found, expected, help))
}

fn unknown_key<T: DeserializeOwned>(document: &Document, mut path: KeyPath, name: &str, known: &[String]) -> Error {
    // Inside an enum serde's path ends at the enum, elsewhere it may name the key.
    if path.last().is_none_or(|last| last != name) || document.get(&with(&path, name)).is_some() {
        path.push(name.to_owned());
    }
    let expected = if known.is_empty() { "no key here".into() } else { one_of(known) };
    let help = if let Some(section) = section_with::<T>(name) {
        format!("did you mean `{section}.{name}`?")
    } else if let Some(candidate) = nearest(name, known.iter().map(String::as_str)) {
        format!("did you mean `{candidate}`?")
    } else {
        format!("remove `{}`; `mtl-zoo finetune --dry-run` shows every key", dotted(&path))
    };
    document.error(&path, Problem::new("an unknown key", expected, help))
}

/// The table of a recipe that has a key which was written elsewhere.
fn section_with<T: DeserializeOwned>(name: &str) -> Option<&'static str> {
    ["training", "backbone", "checkpoint"].into_iter().find(|section| {
        let inner = Table::from_iter([("?".to_owned(), Value::Boolean(true))]);
        let table = Table::from_iter([((*section).to_owned(), Value::Table(inner))]);
        let failure = attempt::<T>(&table).err();
        let known = failure.and_then(|failure| unknown(&failure.message, "field"));
        known.is_some_and(|(unknown, known)| unknown == "?" && known.iter().any(|key| key == name))
    })
}

fn missing_key<T: DeserializeOwned>(document: &Document, path: &[String], name: &str) -> Error {
    let key = with(path, name);
    let (expected, known) = wanted::<T>(document, &key);
    let example = match (known.first(), expected.as_str()) {
        (Some(first), _) => format!("\"{first}\""),
        (_, "a table") => "{ … }".into(),
        _ if name == "train" => "\"train.csv\"".into(),
        _ if name == "method" => "\"equal\"".into(),
        _ => "…".into(),
    };
    let mut help = format!("add `{name} = {example}`");
    if path.first().is_some_and(|first| first == "tasks") && path.len() == 2 {
        help += ", or `card = \"NAME\"` to take it from a task card (`mtl-zoo list tasks`)";
    }
    document.error(&key, Problem::new("nothing", expected, help))
}

/// What serde expects at a key, which it says when it finds something impossible there; and the names it would take.
fn wanted<T: DeserializeOwned>(document: &Document, key: &[String]) -> (String, Vec<String>) {
    let said = |value: Value| {
        let mut table = document.table.clone();
        put(&mut table, key, value);
        attempt::<T>(&table).err().map(|failure| failure.message).unwrap_or_default()
    };
    if let Some((_, known)) = unknown(&said(Value::String("?".into())), "variant") {
        return (one_of(&known), known);
    }
    let message = said(Value::Boolean(true));
    (if message.is_empty() { "a value".into() } else { in_words(after_expected(&message)) }, Vec::new())
}

fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => drop(table.insert(last.clone(), value)),
        [first, rest @ ..] => {
            if let Value::Table(child) = table.entry(first.as_str()).or_insert_with(|| Value::Table(Table::new())) {
                put(child, rest, value);
            }
        }
    }
}

fn after_expected(message: &str) -> &str {
    message.rsplit_once(", expected ").map_or(message, |(_, expected)| expected)
}

/// What serde says of an enum: see [`wanted`] for the names.
const ANY_NAME: &str = "a name in quotes";

/// Keys of one table that are tried in search of a culprit.
const MOST: usize = 200;

/// serde forgets where it is inside enums. The culprit is the value whose absence changes the answer.
fn blame<T: DeserializeOwned>(document: &Document, failure: &Failure) -> KeyPath {
    let mut path = failure.path.clone();
    while let Some(Value::Table(table)) = document.get(&path) {
        // Without its method a table is always another one, so that key comes last.
        let methods = table.keys().filter(|key| *key == "method");
        let culprit = table.keys().filter(|key| *key != "method").take(MOST).chain(methods).find(|key| {
            let mut without = document.table.clone();
            take(&mut without, &path, key);
            attempt::<T>(&without).err().is_none_or(|other| other != *failure)
        });
        match culprit {
            Some(key) => path.push(key.clone()),
            None => break,
        }
    }
    path
}

fn take(table: &mut Table, path: &[String], key: &str) {
    match path.split_first() {
        None => drop(table.remove(key)),
        Some((first, rest)) => {
            if let Some(Value::Table(child)) = table.get_mut(first) {
                take(child, rest, key);
            }
        }
    }
}

/// Takes ``unknown field `x`, expected one of `a`, `b` `` apart.
fn unknown(message: &str, what: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown ")?.strip_prefix(what)?.strip_prefix(" `")?;
    let (name, known) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    let known = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), known))
}

fn one_of(known: &[String]) -> String {
    list(known.iter().map(String::as_str))
}

/// The same as TOML has them.
fn quoted(known: &[String]) -> String {
    one_of(known).replace('`', "\"")
}

fn with(path: &[String], name: &str) -> KeyPath {
    [path, &[name.to_owned()]].concat()
}

/// Names of Rust types as words of TOML.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "a string" | "path string" | "string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "an array of length 2" | "2 elements in sequence" => "a list of 2 numbers",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("internally tagged enum ") => "a table with a `method`",
        "string only" | "string or table" | "variant identifier" => ANY_NAME,
        other => other,
    };
    words.to_owned()
}

fn remedy(value: Option<&Value>, expected: &str, path: &[String]) -> String {
    let key = path.last().map_or("", String::as_str);
    match (value, expected) {
        (Some(Value::String(text)), "a number" | "a whole number, 0 or more") if text.trim().parse::<f64>().is_ok() => {
            format!("remove the quotes: `{}`", short(text.trim()))
        }
        (Some(Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)), "text in quotes") => {
            format!("put it in quotes: \"{}\"", value.map(Value::to_string).unwrap_or_default())
        }
        (Some(Value::Float(_)), "a whole number, 0 or more") => "write a number without a fraction".into(),
        (Some(Value::String(text)), "a list") => format!("put it in brackets: [\"{}\"]", short(text)),
        (Some(Value::Array(items)), "a table") if items.iter().all(Value::is_table) && key == "tasks" => {
            "give each task a name and single brackets: `[tasks.NAME]`".into()
        }
        (Some(_), "a table") => format!("write a header `[{}]` and its keys below it", dotted(path)),
        (Some(Value::String(method)), "a table with a `method`") => {
            format!("write `{} = {{ method = \"{}\" }}`", dotted(path), short(method))
        }
        (Some(Value::String(word)), _) => {
            let words = expected.split('"').skip(1).step_by(2);
            did_you_mean(word, words, &format!("write {expected}"))
        }
        _ => format!("write {expected}"),
    }
}
