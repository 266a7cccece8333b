//! Values from the command line that replace values of a recipe.

use super::document::{Document, KeyPath, Origin, Place, dotted, short};
use super::suggest::{did_you_mean, list};
use crate::error::{Problem, Result};
use toml::{Table, Value};

/// Longest path to a value: `tasks.NAME.class_weights.LABEL` has 4 parts.
const DEPTH: usize = 8;

/// One value that replaces what the recipe says.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The dotted key, as in TOML: `training.seed`, `tasks."odd name".limit`.
    pub path: String,
    /// The value.
    pub value: Value,
    /// The argument that said so, for error messages: `--set training.seed=1` or `--seed`.
    pub origin: String,
}

impl Override {
    /// An override that a flag of its own makes, such as `--seed 1`.
    pub fn new(path: &str, value: impl Into<Value>, origin: &str) -> Self {
        Self { path: path.into(), value: value.into(), origin: origin.into() }
    }

    /// Reads the argument of `--set`: `key.path=value`.
    ///
    /// The value is TOML (`3`, `true`, `["a", "b"]`, `{ x = 1 }`); what is not valid TOML is taken as text, so
    /// `backbone.id=bundled` needs no quotes.
    ///
    /// # Errors
    /// When there is no `=`, the key is not a TOML key, or a value in brackets is not valid TOML.
    pub fn parse(text: &str) -> Result<Self> {
        let origin = format!("--set {}", short(text));
        let refuse = |found: String, expected: &str, help: &str| {
            Err(Problem::new(found, expected, help).file(&origin).argument())
        };
        // An equals sign may be part of a quoted key.
        let split = text.match_indices('=').map(|(at, _)| (text[..at].trim(), text[at + 1..].trim()));
        let Some((path, written)) = split.into_iter().find(|(path, _)| parse_path(path).is_some()) else {
            let help = "write it as `--set training.seed=1`; a name with odd characters goes in quotes";
            return refuse(format!("`{}`", short(text)), "a key, `=` and a value", help);
        };
        let value = match single(&format!("value = {written}"), 1) {
            Some((_, value)) => value,
            None if written.starts_with(['[', '{']) => {
                let help = "quote the text inside: `--set 'tasks.a.labels=[\"x\", \"y\"]'`";
                return refuse(format!("`{}`", short(written)), "a TOML list or inline table", help);
            }
            None => Value::String(written.into()),
        };
        Ok(Self { path: path.into(), value, origin })
    }
}

/// Puts all overrides into a recipe, the last of the same path wins.
pub(crate) fn apply(document: &mut Document, overrides: &[Override]) -> Result<()> {
    for change in overrides {
        let place = Place::argument(&change.origin);
        let Some(mut path) = parse_path(&change.path) else {
            let problem = Problem::new(
                format!("`{}`", short(&change.path)),
                format!("a dotted key of at most {DEPTH} parts"),
                "write it as `training.seed`; a name with odd characters goes in quotes",
            );
            return Err(problem.file(&change.origin).argument());
        };
        if path == ["backbone"] && change.value.is_str() {
            path.push("id".into());
        }
        known_task(document, overrides, &path, change)?;
        drop_what_depends(document, &path, &change.value);
        let origin = Origin { place, line: None, raw: Some(change.value.to_string()) };
        document.set(&path, change.value.clone(), &origin).map_err(|blocked| {
            let found = document.written(&blocked).unwrap_or_default();
            let expected = format!("a table that may hold `{}`", dotted(&path[blocked.len()..]));
            let help = format!("set the whole value: `--set {}=…`", dotted(&blocked));
            Problem::new(found, expected, help).file(&change.origin).key(dotted(&blocked)).argument()
        })?;
    }
    Ok(())
}

/// A new task may come from the command line, but a misspelt name must not make one.
fn known_task(document: &Document, overrides: &[Override], path: &[String], change: &Override) -> Result<()> {
    let [tasks, name, _, ..] = path else { return Ok(()) };
    if tasks != "tasks" || document.get(&path[..2]).is_some() {
        return Ok(());
    }
    let makes = |other: &Override| {
        parse_path(&other.path).is_some_and(|other| {
            other.len() > 1 && other[..2] == path[..2] && other.get(2).is_none_or(|key| key == "card" || key == "type")
        })
    };
    if overrides.iter().any(makes) {
        return Ok(());
    }
    let known = document.get(&["tasks"]).and_then(Value::as_table);
    let known: Vec<&str> = known.into_iter().flat_map(|tasks| tasks.keys()).map(String::as_str).collect();
    let fallback = "name a task of the recipe; a new one needs `tasks.NAME.card=CARD`";
    let help = did_you_mean(name, known.iter().copied(), fallback);
    let expected = format!("a task of the recipe: {}", list(known));
    Err(Problem::new(format!("no task `{}`", short(name)), expected, help)
        .file(&change.origin)
        .key(dotted(path))
        .argument())
}

/// A revision belongs to one backbone, the numbers of a method to one method: another one drops them.
fn drop_what_depends(document: &mut Document, path: &[String], value: &Value) {
    if path == ["backbone", "id"] {
        document.remove(&["backbone".into(), "revision".into()]);
    }
    let [table, key] = path else { return };
    if key == "method" && (table == "sampling" || table == "balance") && document.get(path) != Some(value) {
        // Every balancing method has these.
        let common = ["level", "every"].map(|key| path_in(table, key));
        let common = common.map(|at| Some((document.get(&at)?.clone(), document.origin(&at).0.clone(), at)));
        document.remove(&path[..1]);
        for (value, origin, at) in common.into_iter().flatten().filter(|_| table == "balance") {
            let _ = document.set(&at, value, &origin);
        }
    }
}

fn path_in(table: &str, key: &str) -> KeyPath {
    vec![table.to_owned(), key.to_owned()]
}

/// The parts of a dotted TOML key.
pub(crate) fn parse_path(path: &str) -> Option<KeyPath> {
    let (parts, _) = single(&format!("{path} = 0"), usize::MAX)?;
    (1..=DEPTH).contains(&parts.len()).then_some(parts)
}

/// Reads a document of one line with one value, below a key of at most `depth` parts.
fn single(text: &str, depth: usize) -> Option<(KeyPath, Value)> {
    if text.contains(['\n', '\r']) {
        return None;
    }
    let mut parts = Vec::new();
    let mut value = Value::Table(text.parse::<Table>().ok()?);
    while parts.len() < depth {
        match value {
            Value::Table(table) if table.len() == 1 => {
                let (key, inner) = table.into_iter().next()?;
                parts.push(key);
                value = inner;
            }
            _ => break,
        }
    }
    Some((parts, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_text() {
        let value = |text: &str| Override::parse(text).unwrap().value;
        assert_eq!(value("training.seed=3"), Value::Integer(3));
        assert_eq!(value("training.learning_rate = 1e-4"), Value::Float(1e-4));
        assert_eq!(value("backbone.id=bundled"), Value::String("bundled".into()));
        assert_eq!(value("backbone.id=org/name@v1"), Value::String("org/name@v1".into()));
        assert_eq!(value("backbone.id=\"a=b\""), Value::String("a=b".into()));
        assert_eq!(value("name=a=b"), Value::String("a=b".into()));
        assert_eq!(value("name="), Value::String(String::new()));
        assert_eq!(value("a.b=[1, 2]").as_array().unwrap().len(), 2);
        assert_eq!(value("a.b={ x = 1 }").as_table().unwrap()["x"], Value::Integer(1));
        assert_eq!(value("name=a\nb = 1"), Value::String("a\nb = 1".into()));
    }

    #[test]
    fn paths_are_toml_keys() {
        let path = |text: &str| parse_path(&Override::parse(text).unwrap().path).unwrap();
        assert_eq!(path("tasks.\"a.b=c\".limit=1"), ["tasks", "a.b=c", "limit"]);
        assert_eq!(path("tasks.'x y'.limit = 1"), ["tasks", "x y", "limit"]);
        assert_eq!(path("value=1"), ["value"]);
        for bad in ["training.seed", "=1", "a b=1", "a..b=1", "a.b=[x", "a = {", "#=1", "a.b.c.d.e.f.g.h.i=1"] {
            assert!(Override::parse(bad).is_err(), "{bad}");
        }
    }
}
