//! Parameters in one flat buffer, their gradients in flat rows beside it.

mod arena;
mod optimizer;
mod store;

pub use arena::{Arena, Entry, Owner, Parameter, Slot};
pub use optimizer::{AdamW, AdamWOptions};
pub use store::{GradientStore, Recorder};
