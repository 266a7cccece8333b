//! What the cards say.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A card of a backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneCard {
    /// Hub id, or a folder that starts with `./`, `../` or `/`, relative to the card's own folder.
    pub id: String,
    /// Hub revision: a commit, or with `pinned = false` a branch or tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether the revision is a commit, as it has to be unless the card says otherwise.
    #[serde(default = "yes")]
    pub pinned: bool,
    /// Family of the architecture: `model_type` in its `config.json`.
    pub family: String,
    /// Number of parameters, embeddings and pooler included.
    pub parameters: u64,
    /// ISO 639-1 codes of the languages it was pre-trained on, or `multilingual`.
    pub languages: Vec<String>,
    /// Licence as the Hub writes it: `apache-2.0`, `mit`.
    pub license: String,
    /// Whether id, revision and licence were checked against the Hub, or the model is in a folder.
    #[serde(default)]
    pub verified: bool,
    /// What was done with it by the card's author.
    #[serde(default = "not_tried")]
    pub tested: String,
    /// What it is and what it is good for.
    pub description: String,
}

fn yes() -> bool {
    true
}

fn not_tried() -> String {
    "not tried".into()
}

/// A card of a published checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointCard {
    /// Hub id, or a folder that starts with `./`, `../` or `/`, relative to the card's own folder.
    pub id: String,
    /// Hub revision: a commit, or with `pinned = false` a branch or tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether the revision is a commit, as it has to be unless the card says otherwise.
    #[serde(default = "yes")]
    pub pinned: bool,
    /// The recipe card that it was trained by, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Names of its heads.
    pub heads: Vec<String>,
    /// ISO 639-1 codes of the languages that its heads can read, or `multilingual`.
    pub languages: Vec<String>,
    /// Licence as the Hub writes it.
    pub license: String,
    /// Whether id, revision and licence were checked against the Hub, or the checkpoint is in a folder.
    #[serde(default)]
    pub verified: bool,
    /// What it answers and what it is good for.
    pub description: String,
}

/// Where the files of a backbone or checkpoint are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// In a folder on this machine.
    Folder(PathBuf),
    /// On the Hub.
    Hub {
        /// `org/name`.
        id: String,
        /// A branch, tag or commit; the default branch if absent.
        revision: Option<String>,
    },
}

/// A card of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCard {
    /// What the data is and what is predicted.
    pub description: String,
    /// Licence of the data as the Hub writes it.
    pub license: String,
    /// How to cite the data; required of data on the Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citation: Option<String>,
    /// ISO 639-1 codes of its languages, or `multilingual`; required of data on the Hub.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Whether files, revision and licence were checked against the Hub, or the data is in files here.
    #[serde(default)]
    pub verified: bool,
    /// Whether the revision of the files is a commit, as it has to be on the Hub unless the card says otherwise.
    #[serde(default = "yes")]
    pub pinned: bool,
    /// Where the data comes from.
    pub source: String,
    /// Fields of [`crate::recipe::Task`]; those that are absent here must be in the recipe.
    pub task: toml::Table,
}
