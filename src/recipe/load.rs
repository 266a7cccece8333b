//! From a file, a card or names of tasks to a recipe in which nothing is left open.

use super::document::{Document, Origin, Place, short};
use super::explain;
use super::overrides::{self, Override};
use super::paths::Paths;
use super::source::{Base, CardKind, Cards, SourceFile};
use super::suggest::{did_you_mean, list};
use super::validate::{self, path};
use super::{Recipe, Sampling};
use crate::error::{Error, Problem, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where a recipe comes from.
#[derive(Clone, Debug)]
pub enum RecipeSource<'a> {
    /// A TOML file; if there is none and the path is a plain name, the recipe card of that name.
    File(&'a Path),
    /// Task cards, each a task of its own name; everything else has its default.
    Tasks {
        /// Names of task cards.
        names: &'a [String],
        /// Where the bundled data is sought first; usually the current folder.
        folder: PathBuf,
    },
    /// TOML text from elsewhere.
    Text {
        /// The name that errors show; its stem is the default name of the run.
        name: &'a str,
        /// The TOML text.
        text: &'a str,
        /// Where relative paths start.
        folder: PathBuf,
    },
}

impl Recipe {
    /// Reads a recipe: parses it, takes fields of task cards, applies the overrides in their order, makes paths
    /// absolute and checks every value.
    ///
    /// # Errors
    /// With file and line (or argument), key, what was found, what was expected and a remedy: a file that cannot be
    /// read or is not TOML, an unknown key, a value of a wrong type or out of range, an unknown card.
    pub fn load(source: RecipeSource<'_>, overrides: &[Override], cards: &dyn Cards) -> Result<Self> {
        let (mut document, name, near) = open(source, cards)?;
        expand_shorthand(&mut document);
        overrides::apply(&mut document, overrides)?;
        fill_from_cards(&mut document, cards)?;
        let mut recipe: Self = explain::read(&document)?;
        recipe.name = recipe.name.or(Some(name));
        Paths { document: &document, cards, near: &near }.resolve(&mut recipe)?;
        validate::check(&recipe).map_err(|invalid| invalid.located(&document))?;
        Ok(recipe)
    }

    /// The recipe as TOML, with every default written out; [`Recipe::load`] gives the same recipe again.
    ///
    /// # Panics
    /// For a recipe that [`Recipe::validate`] refuses because TOML cannot hold it: a number of 2^63 or more, or a path
    /// that is not UTF-8.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a valid recipe can be written as TOML")
    }

    /// Keeps only some tasks, in the order of the recipe.
    ///
    /// # Errors
    /// When a name is not that of a task, or no task is left.
    pub fn keep_tasks(&mut self, names: &[String]) -> Result<()> {
        let known = || self.tasks.keys().map(String::as_str);
        if let Some(unknown) = names.iter().find(|name| !self.tasks.contains_key(*name)) {
            let help = did_you_mean(unknown, known(), "name some of the tasks of the recipe");
            let expected = format!("a task of the recipe: {}", list(known()));
            return Err(Problem::new(format!("`{}`", short(unknown)), expected, help).key("tasks").argument());
        }
        self.tasks.retain(|name, _| names.contains(name));
        if let Sampling::Fixed { weights } = &mut self.sampling {
            weights.retain(|name, _| names.contains(name));
        }
        if let Some(weights) = &mut self.balance.weights {
            weights.retain(|name, _| names.contains(name));
        }
        self.validate()
    }
}

/// The document, the default name, and where bundled files are sought first.
fn open(source: RecipeSource<'_>, cards: &dyn Cards) -> Result<(Document, String, PathBuf)> {
    match source {
        RecipeSource::File(file) => {
            let source = read_file(file, cards)?;
            let near = match &source.base {
                Base::Folder(folder) => folder.clone(),
                Base::BuiltIn => PathBuf::from("."),
            };
            Ok((Document::parse(&source)?, stem(file), near))
        }
        RecipeSource::Text { name, text, folder } => {
            let base = Base::Folder(folder.clone());
            let source = SourceFile { shown: name.into(), text: text.to_owned().into(), base };
            Ok((Document::parse(&source)?, stem(Path::new(name)), folder))
        }
        RecipeSource::Tasks { names, folder } => Ok((from_names(names, cards)?, joined(names), folder)),
    }
}

fn read_file(file: &Path, cards: &dyn Cards) -> Result<SourceFile> {
    let io = |source| Error::Io { path: file.to_owned(), action: "read", source };
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return named(file, cards),
        Err(error) => return Err(io(error)),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        let problem = Problem::new("bytes that are not UTF-8", "a TOML file in UTF-8", "save the file as UTF-8");
        problem.file(file).line(line).recipe()
    })?;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    Ok(SourceFile { shown: file.to_owned(), text: text.into(), base: Base::Folder(folder) })
}

fn named(file: &Path, cards: &dyn Cards) -> Result<SourceFile> {
    let name = file.to_string_lossy();
    if let Some(card) = cards.card(CardKind::Recipe, &name) {
        return Ok(card.clone());
    }
    let known = cards.names(CardKind::Recipe);
    let help =
        did_you_mean(&stem(file), known.iter().copied(), "check the path; `mtl-zoo list recipes` shows the cards");
    let expected = format!("a recipe file, or a recipe card: {}", list(known));
    Err(Problem::new("no such file", expected, help).file(file).argument())
}

fn from_names(names: &[String], cards: &dyn Cards) -> Result<Document> {
    let argument = format!("--tasks {}", short(&names.join(",")));
    let place = Place::argument(&argument);
    let origin = Origin { place: place.clone(), line: None, raw: None };
    let mut document = Document::empty(place);
    for name in names {
        let key = path(&["tasks", name, "card"]);
        let refuse = |found: String, expected: String, help: String| {
            Err(Problem::new(found, expected, help).file(&argument).argument())
        };
        if document.get(&key).is_some() {
            return refuse(format!("`{name}` twice"), "each task once".into(), "remove one of the two".into());
        }
        if cards.card(CardKind::Task, name).is_none() {
            let (expected, help) = card_hints(name, cards);
            return refuse(format!("`{}`", short(name)), expected, help);
        }
        // The tables are new, so nothing can be in the way.
        let _ = document.set(&key, Value::String(name.clone()), &origin);
    }
    Ok(document)
}

/// `backbone = "ID"` stands for `backbone = { id = "ID" }`.
fn expand_shorthand(document: &mut Document) {
    let key = path(&["backbone"]);
    if let Some(id @ Value::String(_)) = document.get(&key).cloned() {
        let origin = document.origin(&key).0.clone();
        let _ = document.set(&key, Value::Table(Table::new()), &origin);
        let _ = document.set(&path(&["backbone", "id"]), id, &origin);
    }
}

/// Gives each task that names a card the fields of the card that it does not have itself.
fn fill_from_cards(document: &mut Document, cards: &dyn Cards) -> Result<()> {
    let Some(Value::Table(tasks)) = document.get(&["tasks"]) else { return Ok(()) };
    let named = tasks.iter().filter_map(|(task, value)| Some((task.clone(), value.get("card")?.as_str()?.to_owned())));
    for (task, name) in named.collect::<Vec<_>>() {
        let key = path(&["tasks", &task, "card"]);
        let Some(source) = cards.card(CardKind::Task, &name) else {
            let (expected, help) = card_hints(&name, cards);
            let found = document.written(&key).unwrap_or_default();
            return Err(document.error(&key, Problem::new(found, expected, help)));
        };
        let card = Document::parse(source)?;
        let Some(Value::Table(fields)) = card.get(&["task"]) else {
            let help = "write the fields of the task below `[task]` in the card";
            return Err(card.error(&[], Problem::new("no table `[task]`", "a task card with one", help)));
        };
        if let Some(nested) = ["card", "from_card"].into_iter().find(|key| fields.contains_key(*key)) {
            let problem =
                Problem::new("a card that names a card", "the fields of a task", format!("remove `{nested}`"));
            return Err(card.error(&path(&["task", nested]), problem));
        }
        cards.check(CardKind::Task, &name)?;
        for (field, value) in fields {
            let at = path(&["tasks", &task, field]);
            match (document.get(&at), value) {
                (None, _) => document.graft(&at, &card, &path(&["task", field])),
                (Some(Value::Table(_)), Value::Table(columns)) if field == "columns" => {
                    for column in columns.keys() {
                        let at = [at.as_slice(), std::slice::from_ref(column)].concat();
                        if document.get(&at).is_none() {
                            document.graft(&at, &card, &path(&["task", field, column]));
                        }
                    }
                }
                _ => {}
            }
        }
        let origin = document.origin(&key).0.clone();
        document.remove(&key);
        let _ = document.set(&path(&["tasks", &task, "from_card"]), Value::String(name), &origin);
    }
    Ok(())
}

fn card_hints(name: &str, cards: &dyn Cards) -> (String, String) {
    let known = cards.names(CardKind::Task);
    let help = did_you_mean(
        name,
        known.iter().copied(),
        "`mtl-zoo list tasks` shows the cards; data of your own needs a recipe file",
    );
    (format!("one of the {} task cards (`mtl-zoo list tasks`)", known.len()), help)
}

/// The file's name without its extension, as far as it can name a run.
fn stem(file: &Path) -> String {
    usable(&file.file_stem().unwrap_or_default().to_string_lossy())
}

fn joined(names: &[String]) -> String {
    usable(&names.join("-"))
}

fn usable(name: &str) -> String {
    let name: String =
        name.trim_start_matches('.').chars().filter(|c| !c.is_control() && !"/\\".contains(*c)).take(200).collect();
    if name.is_empty() { "run".into() } else { name }
}
