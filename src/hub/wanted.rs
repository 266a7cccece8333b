//! Which of a repository's files are wanted.

use super::problems::Request;
use super::pytorch::PYTORCH_FILE;
use super::{BACKBONE_FILES, CHECKPOINT_FILES, FileList, MANIFEST_FILE, MODEL_FILE};
use crate::error::{Problem, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Which files are wanted.
pub(super) enum Wanted<'a> {
    /// Those of a backbone or checkpoint.
    List(&'a FileList),
    /// Those of a checkpoint if it is one, or else of a backbone.
    Model,
    /// One file.
    One(&'a str),
    /// All whose path matches; with nothing to match, all.
    Matching(Option<GlobSet>),
}

/// Files that were chosen.
pub(super) struct Chosen {
    /// "backbone", "checkpoint" or "files".
    pub(super) what: &'static str,
    pub(super) required: Vec<String>,
    pub(super) optional: Vec<String>,
}

impl Chosen {
    fn of(list: &FileList, has: impl Fn(&str) -> bool) -> Self {
        let text = |name: &&str| (*name).to_owned();
        // Weights that are PyTorch's only are converted once they are here.
        let pickled = list.what == BACKBONE_FILES.what && !has(MODEL_FILE) && has(PYTORCH_FILE);
        let weights = |name: &&str| if pickled && *name == MODEL_FILE { PYTORCH_FILE.to_owned() } else { text(name) };
        let required = list.required.iter().map(weights).collect();
        let optional = list.optional.iter().filter(|name| has(name)).map(text).collect();
        Self { what: list.what, required, optional }
    }

    /// All of them.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.required.iter().chain(&self.optional).map(String::as_str)
    }
}

impl Wanted<'_> {
    /// The folder that holds them all, if that is known: `""` is the repository itself.
    pub(super) fn folder(&self) -> Option<&str> {
        match self {
            Self::List(_) | Self::Model => Some(""),
            Self::One(path) => Some(path.rsplit_once('/').map_or("", |(folder, _)| folder)),
            Self::Matching(_) => None,
        }
    }

    /// Chooses among the files that there are.
    ///
    /// # Errors
    /// If a file that has to be there is not.
    pub(super) fn choose(&self, request: &Request, names: &[&str]) -> Result<Chosen> {
        let chosen = self.known(names);
        let has = |name: &str| names.contains(&name);
        match chosen.required.iter().find(|name| !has(name)) {
            Some(name) => Err(request.lacking(name, has)),
            None if chosen.required.is_empty() => {
                let help = "see the files on the repository's web page; `*` also matches `/`";
                let names: Vec<&str> = names.iter().take(5).copied().collect();
                let found = format!("no file that matches (it has {} ...)", names.join(", "));
                Err(request.problem(found, "files that match `--include`".into(), help))
            }
            None => Ok(chosen),
        }
    }

    /// Chooses, whether the files are there or not.
    pub(super) fn known(&self, names: &[&str]) -> Chosen {
        let has = |name: &str| names.contains(&name);
        match self {
            Self::List(list) => Chosen::of(list, has),
            Self::Model if has(MANIFEST_FILE) => Chosen::of(&CHECKPOINT_FILES, has),
            Self::Model => Chosen::of(&BACKBONE_FILES, has),
            Self::One(path) => Chosen { what: "file", required: vec![(*path).to_owned()], optional: Vec::new() },
            Self::Matching(globs) => {
                let matches = |name: &&&str| globs.as_ref().is_none_or(|globs| globs.is_match(name));
                let required = names.iter().filter(matches).map(|name| (*name).to_owned()).collect();
                Chosen { what: "files", required, optional: Vec::new() }
            }
        }
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::List(list) => list.required.join(", "),
            Self::Model => BACKBONE_FILES.required.join(", "),
            Self::One(path) => (*path).to_owned(),
            Self::Matching(_) => "the files".into(),
        }
    }
}

/// Patterns as Python's `--include` has them: `*` matches any characters, `/` too.
pub(super) fn globs(patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let bad = |error: globset::Error| {
        let help = "`*.csv`, `data/*` and `{train,test}.csv` are patterns";
        Problem::new(error.to_string(), "a pattern for paths", help).key("--include").argument()
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).build().map_err(bad)?);
    }
    Ok(Some(set.build().map_err(bad)?))
}
