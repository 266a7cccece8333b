//! Backbones, heads, and both together.

pub mod backbones;
pub mod heads;
mod losses;
mod multi_task;
mod pass;
mod weights;

pub use backbones::{Backbone, BackboneConfig};
pub use heads::{Head, HeadOptions, Prediction};
pub use losses::{Losses, StateGradients};
pub use multi_task::{ModelOptions, MultiTask};
pub use pass::{GradientRows, Pass};
pub use weights::{Weight, Weights};
