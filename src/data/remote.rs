//! Data files on the Hub: pulled once, pinned to their commit, read from the cache.

use crate::error::Result;
use crate::hub::{DataUri, HubOptions, data_file, is_hub_uri};
use crate::recipe::{Files, Recipe, Split};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Pulls the data files of a recipe that are on the Hub (`hf://datasets/OWNER/NAME[@REVISION]/PATH`), and writes the commit into their
/// names. So the run's recipe and the checkpoint's manifest say which data it was, and a run that goes on reads the same.
///
/// Each revision is asked for once: all files of a data set are of one commit.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub) if there is no such file, or the Hub cannot be reached.
pub fn pull_data(recipe: &mut Recipe, options: &HubOptions) -> Result<()> {
    let mut commits = HashMap::new();
    for task in recipe.tasks.values_mut() {
        let own = match (&mut task.validation, &mut task.test) {
            (Split::Files(validation), Some(Split::Files(test))) => vec![&mut task.train, validation, test],
            (Split::Files(files), _) | (_, Some(Split::Files(files))) => vec![&mut task.train, files],
            _ => vec![&mut task.train],
        };
        for files in own {
            pin(files, &mut commits, options)?;
        }
    }
    Ok(())
}

/// The commit of each data set and revision.
type Commits = HashMap<(String, String), String>;

fn pin(files: &mut Files, commits: &mut Commits, options: &HubOptions) -> Result<()> {
    let paths = match files {
        Files::One(path) => std::slice::from_mut(path),
        Files::Many(paths) => paths,
    };
    for path in paths.iter_mut().filter(|path| is_hub_uri(path)) {
        let uri = parse(path)?;
        let key = (uri.id.clone(), uri.revision.clone());
        let asked = commits.get(&key).map_or_else(|| uri.clone(), |commit| uri.at(commit));
        let file = data_file(&asked, options)?;
        *path = uri.at(&file.commit).to_string().into();
        commits.insert(key, file.commit);
    }
    Ok(())
}

/// The place of a file on the Hub in the cache; it is pulled if it is not there.
pub(super) fn local(path: &Path) -> Result<PathBuf> {
    Ok(data_file(&parse(path)?, &HubOptions::default())?.path)
}

fn parse(path: &Path) -> Result<DataUri> {
    DataUri::parse(&path.to_string_lossy()).map_err(|problem| problem.data())
}
