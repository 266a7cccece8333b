//! Joint multi-task fine-tuning of pretrained backbones on Candle.
#![warn(missing_docs)]

#[cfg(feature = "train")]
pub mod balance;
pub mod catalog;
pub mod checkpoint;
pub mod collective;
#[cfg(feature = "cuda")]
mod cuda;
pub mod data;
pub mod device;
pub mod error;
pub mod files;
pub mod gradient;
pub mod hub;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod recipe;
#[cfg(feature = "train")]
pub mod report;
mod simd;
#[cfg(feature = "train")]
pub mod study;
#[cfg(feature = "train")]
pub mod train;

pub use checkpoint::{Answer, MultiTask};
pub use data::Input;
pub use error::{Error, Fault, Problem, Result};

/// The README's Rust examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
