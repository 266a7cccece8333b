//! Parameters in one flat buffer, their gradients in flat rows beside it.

mod arena;
mod gramian;
mod optimizer;
mod row;
mod store;
mod table_rows;

pub use arena::{Arena, Entry, Owner, Parameter, Slot, Table};
pub use optimizer::{AdamW, AdamWOptions};
pub use row::{Gradient, Row};
pub use store::{GradientStore, Recorder, Rows};
pub use table_rows::TableRows;
