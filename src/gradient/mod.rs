//! Parameters in one flat buffer, their gradients in flat rows beside it.

mod arena;
mod elements;
mod gramian;
#[cfg(target_arch = "x86_64")]
mod gramian_bf16;
mod optimizer;
mod parts;
mod row;
mod squares;
mod store;
mod table_rows;
mod traces;

pub use arena::{Arena, Entry, Owner, Parameter, Slot, Table};
pub use optimizer::{AdamW, AdamWOptions};
pub use parts::Parts;
pub use row::{Gradient, Row};
pub use squares::Squares;
pub use store::{GradientStore, Recorder, Rows};
pub use table_rows::TableRows;
pub use traces::Traces;
