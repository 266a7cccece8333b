//! What the cards say.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A card of a backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneCard {
    /// Hub id, or a folder that starts with `./`, `../` or `/`, relative to the card's own folder.
    pub id: String,
    /// Hub revision: a branch, tag or commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Family of the architecture: `model_type` in its `config.json`.
    pub family: String,
    /// Number of parameters, embeddings and pooler included.
    pub parameters: u64,
    /// ISO 639-1 codes of the languages it was pre-trained on, or `multilingual`.
    pub languages: Vec<String>,
    /// Licence as the Hub writes it: `apache-2.0`, `mit`.
    pub license: String,
    /// What it is and what it is good for.
    pub description: String,
}

/// Where the files of a backbone are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackboneSource {
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
    /// Licence of the data.
    pub license: String,
    /// How to cite the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citation: Option<String>,
    /// Where the data comes from.
    pub source: String,
    /// Fields of [`crate::recipe::Task`]; those that are absent here must be in the recipe.
    pub task: toml::Table,
}
