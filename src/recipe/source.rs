//! Where recipes and cards come from. The catalog stands above this room, so it is known here by a trait only.

use crate::error::Result;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The text of a recipe or card, and what its relative paths mean.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The name that errors show: a path, or what stands for one.
    pub shown: PathBuf,
    /// The TOML text.
    pub text: Cow<'static, str>,
    /// Where its relative paths start.
    pub base: Base,
}

/// Where the relative paths of a [`SourceFile`] start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// At a folder.
    Folder(PathBuf),
    /// A file that is compiled in: `../bundled/…` is in the bundled folder, see [`Cards::bundled`].
    BuiltIn,
}

/// What a card describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CardKind {
    /// A backbone.
    Backbone,
    /// A task.
    Task,
    /// A whole recipe.
    Recipe,
    /// A published checkpoint.
    Checkpoint,
}

impl CardKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Backbone, Self::Task, Self::Recipe, Self::Checkpoint];

    /// The folder of such cards, and the word that `mtl-zoo list` takes: `backbones`, `tasks`, `recipes`, `checkpoints`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Backbone => "backbones",
            Self::Task => "tasks",
            Self::Recipe => "recipes",
            Self::Checkpoint => "checkpoints",
        }
    }
}

/// The cards that a recipe may name.
pub trait Cards {
    /// The card of that name.
    fn card(&self, kind: CardKind, name: &str) -> Option<&SourceFile>;

    /// The names of all cards of a kind, sorted.
    fn names(&self, kind: CardKind) -> Vec<&str>;

    /// Checks what a card says of itself; a recipe checks what it takes from it.
    ///
    /// # Errors
    /// When the card is not what it should be.
    fn check(&self, _kind: CardKind, _name: &str) -> Result<()> {
        Ok(())
    }

    /// The folder with the bundled backbone and data, sought from `near` first.
    ///
    /// # Errors
    /// When it is nowhere to be found.
    fn bundled(&self, near: &Path) -> Result<PathBuf>;
}

/// No cards at all.
impl Cards for () {
    fn card(&self, _: CardKind, _: &str) -> Option<&SourceFile> {
        None
    }

    fn names(&self, _: CardKind) -> Vec<&str> {
        Vec::new()
    }

    fn bundled(&self, near: &Path) -> Result<PathBuf> {
        Ok(near.to_owned())
    }
}
