//! From what a person names to files on this machine, with downloads shown.

use super::output::{note, warn};
use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mtl_zoo::Problem;
use mtl_zoo::catalog::{Catalog, ModelSource};
use mtl_zoo::checkpoint::pieces::PIECE_FILES;
use mtl_zoo::checkpoint::{find, find_files};
use mtl_zoo::data::pull_data;
use mtl_zoo::hub::{HubFiles, HubOptions, resolve_backbone};
use mtl_zoo::recipe::Recipe;
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The files of a backbone: a card's name, a folder or a Hub id. The bundled one is sought from `near` first.
pub fn backbone(catalog: &Catalog, id: &str, revision: Option<&str>, near: &Path) -> Result<HubFiles> {
    match catalog.backbone_source(id, revision, near)? {
        ModelSource::Folder(folder) => Ok(resolve_backbone(&folder.to_string_lossy(), None, &options())?),
        ModelSource::Hub { id, revision } => Ok(resolve_backbone(&id, revision.as_deref(), &options())?),
    }
}

/// The files of a checkpoint: a folder, a run's folder, a Hub id or `zoo:` and a name.
pub fn checkpoint(id: &str) -> Result<HubFiles> {
    Ok(find(id, &options())?)
}

/// The files of a checkpoint, or of heads without their backbone.
pub fn pieces(id: &str) -> Result<HubFiles> {
    Ok(find_files(id, &PIECE_FILES, &options())?)
}

/// The recipe with its data files from the Hub pulled, and named with their commits.
pub fn data(mut recipe: Recipe) -> Result<Recipe> {
    pull_data(&mut recipe, &options())?;
    Ok(recipe)
}

/// Refuses a head that a checkpoint does not have.
pub fn check_head(name: &str, heads: &[&str]) -> Result<()> {
    if heads.contains(&name) {
        return Ok(());
    }
    let known = || heads.iter().copied();
    let help = mtl_zoo::recipe::suggest::did_you_mean(name, known(), "`mtl-zoo inspect CHECKPOINT` shows its heads");
    let expected = format!("a head of the checkpoint: {}", mtl_zoo::recipe::suggest::list(known()));
    Err(Problem::new(format!("`{name}`"), expected, help).key("--head").argument().into())
}

/// How the Hub is reached. Shows downloads as bars on a terminal, else as one line a file; tells of what was put right or converted.
pub fn options() -> HubOptions {
    showing("downloading")
}

/// As [`options`], with another word for what is done.
pub fn showing(doing: &'static str) -> HubOptions {
    let bars: Mutex<HashMap<String, ProgressBar>> = Mutex::default();
    let all = MultiProgress::new();
    let terminal = io::stderr().is_terminal();
    let progress = move |file: &str, done: u64, total: u64| {
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(file.to_owned()).or_insert_with(|| {
            if !terminal {
                note(format_args!("{doing} {file}"));
                return ProgressBar::hidden();
            }
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
            let bar = ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            all.add(bar.with_message(file.to_owned()))
        });
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish();
        }
    };
    let said = |line: &str| note(format_args!("note: {line}"));
    let warning = |text: &str| warn(text);
    HubOptions {
        progress: Some(Arc::new(progress)),
        note: Some(Arc::new(said)),
        warning: Some(Arc::new(warning)),
        ..HubOptions::default()
    }
}
