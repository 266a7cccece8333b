//! Joint multi-task fine-tuning of pretrained backbones on Candle.
#![warn(missing_docs)]

pub mod data;
pub mod error;
pub mod gradient;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod recipe;

pub use error::{Error, Result};
