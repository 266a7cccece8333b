//! A repository's files, whatever it holds.

use super::download::download;
use super::problems::Request;
use super::wanted::{Wanted, globs};
use super::{HubOptions, RepoKind, address};
use crate::error::Result;
use std::path::PathBuf;

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// "backbone", "checkpoint" or "files".
    pub what: &'static str,
    /// `owner/name`.
    pub id: String,
    /// The commit.
    pub commit: String,
    /// The folder with the files of this commit.
    pub folder: PathBuf,
    /// The files, below the folder.
    pub files: Vec<String>,
}

/// Pulls the files of a backbone or checkpoint, which is known by its files; of a data set, or with patterns, all that match.
/// `id` is `owner/name` or `owner/name@revision`.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub) if the Hub has no such thing or cannot be reached, [`Error::Argument`](crate::Error::Argument)
/// for a bad pattern.
pub fn pull(id: &str, kind: RepoKind, include: &[String], options: &HubOptions) -> Result<Pulled> {
    let what = if kind == RepoKind::Dataset { "data set" } else { "repository" };
    let (owner, name, revision) = address(id, None, what)?;
    let request = Request { kind, owner, name, revision, what };
    let wanted = match (kind, globs(include)?) {
        (RepoKind::Model, None) => Wanted::Model,
        (_, globs) => Wanted::Matching(globs),
    };
    let found = download(&request, &wanted, options)?;
    Ok(Pulled {
        what: found.chosen.what,
        id: request.id(),
        files: found.chosen.files().map(str::to_owned).collect(),
        commit: found.commit,
        folder: found.folder,
    })
}
