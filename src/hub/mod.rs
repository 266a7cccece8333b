//! Backbones, checkpoints and data files by folder or Hub id; checkpoints to the Hub.
//!
//! Files from the Hub lie in the cache that Python's `huggingface_hub` uses too, so that nothing is downloaded twice.
//! `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean there.

#[cfg(feature = "hub")]
mod access;
#[cfg(feature = "hub")]
mod cache;
mod data_file;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod hashes;
#[cfg(feature = "hub")]
mod lfs;
#[cfg(feature = "hub")]
mod listing;
mod names;
#[cfg(feature = "hub")]
mod problems;
#[cfg(feature = "hub")]
mod pull;
#[cfg(feature = "hub")]
mod push;
pub mod pytorch;
#[cfg(feature = "hub")]
mod token;
#[cfg(feature = "hub")]
mod trouble;
#[cfg(feature = "hub")]
mod wanted;

pub use data_file::{DataFile, DataUri, data_file, is_hub_uri};
pub use names::RepoKind;
#[cfg(feature = "hub")]
pub use pull::{Pulled, pull};
#[cfg(feature = "hub")]
pub use push::{PushOptions, Pushed, push};

use crate::checkpoint::pieces::HEADS_FILE;
use crate::error::{Error, Fault, Problem, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the tensors' file.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the backbone's configuration.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// Name of a checkpoint's manifest.
pub const MANIFEST_FILE: &str = "mtl_zoo.json";

/// Which files of a repository are wanted.
#[derive(Clone, Copy, Debug)]
pub struct FileList {
    /// "backbone" or "checkpoint", for messages.
    pub what: &'static str,
    /// Files that have to be there. The first of them is what a local folder is known by.
    pub required: &'static [&'static str],
    /// Files that are taken where there are any.
    pub optional: &'static [&'static str],
}

/// Tokenizer files beside `tokenizer.json` that a backbone or checkpoint may have.
pub const OPTIONAL_TOKENIZER_FILES: [&str; 3] = ["tokenizer_config.json", "vocab.txt", "special_tokens_map.json"];

/// The files of a backbone.
pub const BACKBONE_FILES: FileList = FileList {
    what: "backbone",
    required: &[CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE],
    optional: &OPTIONAL_TOKENIZER_FILES,
};

/// The files of a checkpoint.
pub const CHECKPOINT_FILES: FileList = FileList {
    what: "checkpoint",
    required: &[MANIFEST_FILE, CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE],
    optional: &["tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "README.md"],
};

/// Where the files of a backbone or checkpoint lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFiles {
    /// A local folder with all required files.
    pub folder: PathBuf,
    /// The id or folder that was asked for, without a revision.
    pub id: String,
    /// The commit on the Hub; `None` for a local folder.
    pub revision: Option<String>,
}

/// Called with a file's name, the bytes that are there and the bytes that it will have.
pub type OnProgress = Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// Called with a line that a person should see.
pub type OnNote = Arc<dyn Fn(&str) + Send + Sync>;
/// Called with what went wrong and was put right.
pub type OnWarning = Arc<dyn Fn(&str) + Send + Sync>;

/// How the Hub is reached. The default follows the environment.
#[derive(Clone, Default)]
pub struct HubOptions {
    /// Base URL of the Hub.
    pub endpoint: Option<String>,
    /// Folder of the cache.
    pub cache: Option<PathBuf>,
    /// Access token.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: Option<bool>,
    /// How often a failed request is tried again.
    pub retries: Option<usize>,
    /// The wait before that, doubled each time; the Hub may ask for another.
    pub pause: Option<Duration>,
    /// How long nothing may come before a connection counts as broken; `HF_HUB_DOWNLOAD_TIMEOUT` if not set.
    pub timeout: Option<Duration>,
    /// Hears about downloads; has to be quick.
    pub progress: Option<OnProgress>,
    /// Hears of weights that had to be converted.
    pub note: Option<OnNote>,
    /// Hears of damaged files in the cache.
    pub warning: Option<OnWarning>,
}

/// Shows neither the token nor the callbacks.
impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, cache, offline, retries, .. } = self;
        let mut debug = f.debug_struct("HubOptions");
        debug.field("endpoint", endpoint).field("cache", cache).field("offline", offline).field("retries", retries);
        debug.finish_non_exhaustive()
    }
}

impl HubOptions {
    /// Whether only the cache is used: as set, or else as `HF_HUB_OFFLINE` says.
    pub fn is_offline(&self) -> bool {
        let on = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true");
        self.offline.unwrap_or_else(|| std::env::var("HF_HUB_OFFLINE").is_ok_and(on))
    }
}

/// The files of a backbone: those of a local folder, or from the Hub.
///
/// `id` is a folder or `org/name`, also `org/name@revision`; names of cards are resolved before.
///
/// # Errors
/// [`Error::Backbone`] if a local folder lacks a file, [`Error::Hub`] if the Hub has no such thing or cannot be reached.
pub fn resolve_backbone(id: &str, revision: Option<&str>, options: &HubOptions) -> Result<HubFiles> {
    resolve(id, revision, &BACKBONE_FILES, options)
}

/// The files of a checkpoint: those of a local folder, or from the Hub. They are not verified; see
/// [`CheckpointFolder::open`](crate::checkpoint::CheckpointFolder::open).
///
/// # Errors
/// [`Error::Checkpoint`] if a local folder lacks a file, [`Error::Hub`] if the Hub has no such thing or cannot be reached.
pub fn resolve_checkpoint(id: &str, revision: Option<&str>, options: &HubOptions) -> Result<HubFiles> {
    resolve(id, revision, &CHECKPOINT_FILES, options)
}

/// The files of a repository: those of a local folder, or from the Hub.
///
/// # Errors
/// As [`resolve_backbone`] and [`resolve_checkpoint`].
pub fn resolve(id: &str, revision: Option<&str>, files: &FileList, options: &HubOptions) -> Result<HubFiles> {
    if Path::new(id).is_dir() {
        return local(id, files, options);
    }
    if Path::new(id).exists() {
        let help = format!("give the folder that holds {}", files.required.join(", "));
        return Err(Problem::new("a file", format!("the folder of a {}", files.what), help).file(id).hub());
    }
    let (owner, name, revision) = address(id, revision, files.what)?;
    #[cfg(feature = "hub")]
    {
        let request = problems::Request { kind: RepoKind::Model, owner, name, revision, what: files.what };
        let found = download::download(&request, &wanted::Wanted::List(files), options)?;
        let folder = match is_pytorch(&found.folder, files) {
            true => safe_folder(&found.folder, files, options)?,
            false => found.folder,
        };
        Ok(HubFiles { folder, id: request.id(), revision: Some(found.commit) })
    }
    #[cfg(not(feature = "hub"))]
    {
        let _ = (revision, options);
        Err(without_hub(&format!("{owner}/{name}"), files.what))
    }
}

/// Owner, name and revision of `owner/name[@revision]`.
fn address(id: &str, revision: Option<&str>, what: &str) -> Result<(String, String, String)> {
    let (name, inner) = id.split_once('@').map_or((id, None), |(name, revision)| (name, Some(revision)));
    let Some((owner, name)) = names::repository(name) else {
        let help = "check the path, or give a Hub id with its owner, such as `google-bert/bert-base-uncased`";
        return Err(Problem::new(format!("{id:?}"), "a folder or a Hub id `org/name`", help).key(what).hub());
    };
    let revision = revision.or(inner).unwrap_or("main");
    if !names::is_revision(revision) {
        let help = "see the repository's branches, tags and commits";
        return Err(Problem::new(format!("{revision:?}"), "a branch, tag or commit", help).key("revision").hub());
    }
    Ok((owner.to_owned(), name.to_owned(), revision.to_owned()))
}

#[cfg(not(feature = "hub"))]
fn without_hub(id: &str, what: &str) -> Error {
    let help = "build with the feature `hub`, or download the files and give their folder";
    let expected = "files on this machine, as this program was built without the Hub";
    Problem::new(format!("the Hub id {id}"), expected, help).key(what).hub()
}

fn local(id: &str, files: &FileList, options: &HubOptions) -> Result<HubFiles> {
    let folder = PathBuf::from(id);
    let lacks = |file: &&&str| !folder.join(file).is_file();
    match files.required.iter().filter(lacks).collect::<Vec<_>>()[..] {
        [] => Ok(HubFiles { folder, id: id.to_owned(), revision: None }),
        [file] if *file == MODEL_FILE && is_pytorch(&folder, files) => {
            Ok(HubFiles { folder: safe_folder(&folder, files, options)?, id: id.to_owned(), revision: None })
        }
        [file, ..] => {
            let help = match *file {
                MANIFEST_FILE => "the folder is no checkpoint of mtl-zoo; `mtl-zoo finetune` makes one from a backbone",
                MODEL_FILE => "give a folder with safetensors, or with a pytorch_model.bin to convert",
                TOKENIZER_FILE => {
                    "save the tokenizer with Python's `AutoTokenizer.from_pretrained(..).save_pretrained(..)`"
                }
                _ if folder.join(HEADS_FILE).is_file() => {
                    "these are heads without their backbone; `mtl-zoo merge FOLDER --out CHECKPOINT` puts them on it"
                }
                _ => "copy or download the folder again",
            };
            let problem = Problem::new(format!("no {file}"), format!("a {} folder with this file", files.what), help);
            Err(missing(problem.file(&folder), files))
        }
    }
}

/// Whether the weights in a folder are PyTorch's only. A checkpoint's are never: its hashes are of safetensors.
pub(crate) fn is_pytorch(folder: &Path, files: &FileList) -> bool {
    files.what != CHECKPOINT_FILES.what
        && !folder.join(MODEL_FILE).is_file()
        && folder.join(pytorch::PYTORCH_FILE).is_file()
}

/// A folder with the required files for one whose weights are PyTorch's only, see [`pytorch::convert`].
pub(crate) fn safe_folder(folder: &Path, files: &FileList, options: &HubOptions) -> Result<PathBuf> {
    let converted = pytorch::convert(folder, files)?;
    if let Some(note) = &options.note {
        note(&converted.note);
    }
    Ok(converted.folder)
}

fn missing(problem: Problem, files: &FileList) -> Error {
    if files.what == CHECKPOINT_FILES.what { problem.checkpoint(Fault::MissingFile) } else { problem.backbone() }
}
