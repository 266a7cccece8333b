//! Checks of what cards say: their form, and that it fits together. Whether it is true, `verified` says.

use super::cards::{BackboneCard, CheckpointCard, TaskCard};
use super::hub_file::{self, HubFile, is_commit, is_repository};
use super::store::is_folder;
use crate::recipe::CardKind;
use crate::recipe::suggest::did_you_mean;
use crate::recipe::validate::{Check, Invalid, path, require};
use crate::recipe::validate_checkpoint::{languages, license};
use toml::Value;

/// The families of backbones that can be loaded.
const FAMILIES: [&str; 1] = ["bert"];

/// What to do about a revision that is no commit.
const PIN: &str = "write the whole commit from the page \"Files and versions\" on the Hub, or `pinned = false`";

/// Checks a backbone's card.
pub(super) fn backbone(name: &str, card: &BackboneCard) -> Check {
    file_name(CardKind::Backbone, name)?;
    let family = &card.family;
    let help = did_you_mean(family, FAMILIES, "only BERT-like encoders can be loaded: `model_type` in config.json");
    require(FAMILIES.contains(&family.as_str()), &["family"], family, "\"bert\"", &help)?;
    let help = "count the numbers in the model's tensors; the Hub's page of the model shows them too";
    require(card.parameters > 0, &["parameters"], card.parameters, "a number above 0", help)?;
    license(&["license"], &card.license)?;
    languages(&["languages"], &card.languages, true)?;
    text("description", &card.description)?;
    text("tested", &card.tested)?;
    place(&card.id, card.revision.as_deref(), card.pinned)
}

/// Checks a published checkpoint's card.
pub(super) fn checkpoint(name: &str, card: &CheckpointCard) -> Check {
    file_name(CardKind::Checkpoint, name)?;
    license(&["license"], &card.license)?;
    languages(&["languages"], &card.languages, true)?;
    text("description", &card.description)?;
    let help = "write the tasks' names, as `mtl-zoo inspect` shows them";
    require(!card.heads.is_empty(), &["heads"], &card.heads, "at least one head", help)?;
    place(&card.id, card.revision.as_deref(), card.pinned)
}

/// Checks where a model is said to be.
fn place(id: &str, revision: Option<&str>, is_pinned: bool) -> Check {
    if is_folder(id) {
        let help = "remove it: only models on the Hub have revisions";
        let found = revision.unwrap_or_default();
        return require(revision.is_none(), &["revision"], found, "no revision of a folder", help);
    }
    let help = "write `OWNER/NAME` as on the Hub, or a folder that starts with `./`, `../` or `/`";
    require(is_repository(id), &["id"], id, "a Hub id or a folder", help)?;
    pinned(is_pinned, revision, &["revision"])
}

/// Checks a task's card. What is in `[task]` is a recipe's business, but for where its files are.
pub(super) fn task(name: &str, card: &TaskCard) -> Check {
    file_name(CardKind::Task, name)?;
    license(&["license"], &card.license)?;
    text("description", &card.description)?;
    text("source", &card.source)?;
    let published = published(card)?;
    languages(&["languages"], &card.languages, published.is_some())?;
    if let Some(citation) = &card.citation {
        text("citation", citation)?;
    }
    let Some((file, key)) = published else { return Ok(()) };
    if card.citation.is_none() {
        let help = "add `citation = \"Authors (year). Title. Place.\"`, as the data set's page asks for";
        return Err(Invalid::fact(path(&["citation"]), "nothing", "how to cite published data", help));
    }
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    pinned(card.pinned, file.revision, &key)
}

/// The first file on the Hub and its key, if there is one; then every file has to be of the same repository and revision.
fn published(card: &TaskCard) -> Result<Option<(HubFile<'_>, Vec<String>)>, Invalid> {
    let mut files = Vec::new();
    for split in ["train", "validation", "test"] {
        match card.task.get(split) {
            Some(Value::String(name)) => files.push((name.as_str(), path(&["task", split]))),
            Some(Value::Array(names)) => {
                for (index, name) in names.iter().enumerate() {
                    let key = path(&["task", split, &format!("[{index}]")]);
                    files.extend(name.as_str().map(|name| (name, key)));
                }
            }
            _ => {}
        }
    }
    let mut first: Option<(HubFile, Vec<String>)> = None;
    for (index, (name, key)) in files.into_iter().enumerate() {
        let found = if name.starts_with(hub_file::SCHEME) {
            let Some(file) = hub_file::parse(name) else {
                let expected = "`hf://datasets/OWNER/NAME@REVISION/PATH`";
                let help = "write it as on the Hub, with `%2F` for a slash in the revision";
                return Err(Invalid::fact(key, format!("\"{name}\""), expected, help));
            };
            Some(file)
        } else {
            None
        };
        match (&first, found) {
            (None, Some(file)) if index == 0 => first = Some((file, key)),
            (None, None) => {}
            (Some((file, _)), Some(other)) if *file == other => {}
            _ => {
                let expected = "every file of one repository and one revision";
                let help = "take all files from the same commit; a recipe may join data of several places";
                return Err(Invalid::fact(key, format!("\"{name}\""), expected, help));
            }
        }
    }
    Ok(first)
}

/// Refuses a revision that may become another one, unless the card says so.
fn pinned(pinned: bool, revision: Option<&str>, key: &[&str]) -> Check {
    let commit = revision.is_some_and(is_commit);
    if pinned == commit {
        return Ok(());
    }
    if commit {
        let found = "`pinned = false` with a commit";
        let (expected, help) = ("a branch, a tag or no revision", "remove `pinned`: a commit is pinned");
        return Err(Invalid::fact(path(&["pinned"]), found, expected, help).also(path(key)));
    }
    let found = revision.map_or("no revision".into(), |revision| format!("revision `{revision}`"));
    Err(Invalid::fact(path(key), found, "a commit: 40 digits 0 to 9 and a to f", PIN))
}

/// A card is called by its file's name; a task's name becomes part of tensor names too.
fn file_name(kind: CardKind, name: &str) -> Check {
    let dots = kind != CardKind::Task;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (c == '.' && dots);
    let ok = name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed);
    if ok {
        return Ok(());
    }
    let expected = if dots {
        "1 to 64 letters, digits, `-`, `_` or `.`, the first a letter or digit"
    } else {
        "1 to 64 letters, digits, `-` or `_`, the first a letter or digit"
    };
    Err(Invalid::fact(Vec::new(), format!("a card called `{name}`"), expected, "rename the file"))
}

fn text(key: &str, text: &str) -> Check {
    require(!text.trim().is_empty(), &[key], text, "a text", "write a sentence")
}
