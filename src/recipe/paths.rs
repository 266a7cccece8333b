//! What relative paths of a recipe mean: each starts at the folder of the file that holds it. Data on the Hub keeps its name.

use super::document::{Document, KeyPath};
use super::source::{Base, Cards};
use super::validate::path as key_path;
use super::{Files, Recipe, Split};
use crate::error::{Problem, Result};
use crate::hub::{DataUri, is_hub_uri};
use std::path::{Component, Path, PathBuf};

/// Where the bundled folder is, seen from a card that is compiled in.
const BUNDLED: &str = "../bundled";

/// Makes the paths of a recipe absolute.
pub(crate) struct Paths<'a> {
    pub document: &'a Document,
    pub cards: &'a dyn Cards,
    /// Where the bundled folder is sought first.
    pub near: &'a Path,
}

impl Paths<'_> {
    pub fn resolve(&self, recipe: &mut Recipe) -> Result<()> {
        self.backbone(recipe)?;
        for (name, task) in &mut recipe.tasks {
            let files = |key: &str, files: &Files| self.files(key_path(&["tasks", name, key]), files);
            task.train = files("train", &task.train)?;
            if let Split::Files(given) = &task.validation {
                task.validation = Split::Files(files("validation", given)?);
            }
            if let Some(Split::Files(given)) = &task.test {
                task.test = Some(Split::Files(files("test", given)?));
            }
        }
        Ok(())
    }

    /// A folder becomes absolute, `org/name@revision` is split; names of cards and Hub ids stay.
    fn backbone(&self, recipe: &mut Recipe) -> Result<()> {
        let backbone = &mut recipe.backbone;
        let key = key_path(&["backbone", "id"]);
        let written = Path::new(&backbone.id);
        let explicit = written.is_absolute() || [".", ".."].iter().any(|dots| written.starts_with(dots));
        let is_card = self.cards.card(super::CardKind::Backbone, &backbone.id).is_some();
        if !backbone.id.is_empty() && !is_card {
            let folder = self.absolute(&key, written)?;
            if explicit || folder.join("config.json").is_file() {
                backbone.id = folder.to_string_lossy().into_owned();
                return match &backbone.revision {
                    None => Ok(()),
                    Some(revision) => {
                        let found = format!("revision `{revision}` of a folder");
                        let problem =
                            Problem::new(found, "a Hub id, which has revisions", "remove `backbone.revision`");
                        Err(self.document.error(&key_path(&["backbone", "revision"]), problem))
                    }
                };
            }
        }
        if let Some((id, revision)) = backbone.id.split_once('@') {
            if id.is_empty() || revision.is_empty() {
                let found = self.document.written(&key).unwrap_or_default();
                let problem = Problem::new(found, "`ID@REVISION`", "name both, or leave `@` out");
                return Err(self.document.error(&key, problem));
            }
            if let Some(other) = backbone.revision.as_ref().filter(|other| *other != revision) {
                let found = format!("revision `{revision}` here and `{other}` in `backbone.revision`");
                let problem = Problem::new(found, "one revision", "remove one of the two");
                return Err(self.document.error(&key, problem));
            }
            (backbone.id, backbone.revision) = (id.to_owned(), Some(revision.to_owned()));
        }
        Ok(())
    }

    fn files(&self, key: KeyPath, files: &Files) -> Result<Files> {
        Ok(match files {
            Files::One(path) => Files::One(self.absolute(&key, path)?),
            Files::Many(paths) => {
                let item = |(index, path): (usize, &PathBuf)| {
                    let key = [key.as_slice(), &[format!("[{index}]")]].concat();
                    self.absolute(&key, path)
                };
                Files::Many(paths.iter().enumerate().map(item).collect::<Result<_>>()?)
            }
        })
    }

    fn absolute(&self, key: &[String], path: &Path) -> Result<PathBuf> {
        if path.as_os_str().is_empty() {
            return Ok(PathBuf::new());
        }
        if is_hub_uri(path) {
            let uri = DataUri::parse(&path.to_string_lossy());
            return uri.map(|uri| uri.to_string().into()).map_err(|problem| self.document.error(key, *problem));
        }
        let joined = match (&self.document.origin(key).0.place.base, path.strip_prefix(BUNDLED)) {
            (Base::BuiltIn, Ok(inside)) => self.cards.bundled(self.near)?.join(inside),
            (Base::BuiltIn, Err(_)) => self.near.join(path),
            (Base::Folder(folder), _) => folder.join(path),
        };
        let full = std::path::absolute(&joined).unwrap_or(joined);
        let full = without_dots(&full);
        if full.to_str().is_none() {
            let problem = Problem::new(format!("{full:?}"), "a path in UTF-8", "rename the folder or file");
            return Err(self.document.error(key, problem));
        }
        Ok(full)
    }
}

/// Takes `..` out of an absolute path, unless a symbolic link makes that another place.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    if path.canonicalize().ok() == clean.canonicalize().ok() { clean } else { path.to_owned() }
}
