//! The cards under `zoo/`, compiled in, and a user's own; and where the bundled backbone and data are.
//!
//! A card is a TOML file that describes one backbone, task, recipe or published checkpoint. Its name is the file's name without `.toml`.
//! A user's own cards lie in `backbones/`, `tasks/`, `recipes/` and `checkpoints/` of the folder that `MTL_ZOO_CARDS` names,
//! or of `$XDG_CONFIG_HOME/mtl-zoo/cards` (`~/.config/mtl-zoo/cards`); they win over compiled-in cards of the same name.

#[cfg(feature = "train")]
mod built_in;
pub mod bundled;
#[cfg(feature = "train")]
mod cards;
#[cfg(feature = "train")]
mod hub_file;
mod published;
#[cfg(feature = "train")]
mod store;
#[cfg(all(test, feature = "train"))]
mod tests;
#[cfg(feature = "train")]
mod validate;

#[cfg(feature = "train")]
pub use cards::{BackboneCard, CheckpointCard, ModelSource, TaskCard};
pub use published::published;
#[cfg(feature = "train")]
pub use store::Catalog;
