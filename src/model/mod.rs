//! Backbones, heads, and both together.

pub mod backbones;
pub mod heads;
mod joint;
mod losses;
mod pass;
mod state_gradient;
mod weights;

pub use backbones::{Backbone, BackboneConfig};
pub use heads::{Head, HeadOptions, Prediction};
pub use joint::{JointModel, ModelOptions};
pub use losses::{Losses, StateGradients, read_losses};
pub use pass::{GradientRows, Pass};
pub use weights::{Weight, Weights};
