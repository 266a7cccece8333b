//! Parameters in one flat buffer, their gradients in flat rows beside it, on the CPU or on a device (`cuda/`).

mod aligned;
mod arena;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "cuda_absent.rs"]
mod cuda;
mod device;
mod elements;
mod gramian;
#[cfg(target_arch = "x86_64")]
mod gramian_bf16;
mod look_ahead;
mod optimizer;
mod parts;
mod products;
mod recorder;
mod reduce;
mod row;
mod squares;
mod store;
mod table_rows;
mod traces;
mod update;

pub use aligned::Aligned;
pub use arena::{Arena, Entry, Owner, Parameter, Slot, Table};
#[cfg(feature = "cuda")]
pub use cuda::DeviceGradient;
#[cfg(feature = "cuda")]
pub(crate) use cuda::upload;
pub use device::{DeviceFault, device_capability, device_memory, device_name, open_device, set_tf32};
pub(crate) use gramian::{add_products, add_products_of_bf16};
pub use optimizer::{AdamW, AdamWOptions};
pub use parts::Parts;
pub use recorder::Recorder;
pub(crate) use row::in_f32;
pub use row::{Gradient, Row};
pub use squares::Squares;
pub use store::{GradientStore, Measures, Rows};
pub use table_rows::TableRows;
pub use traces::Traces;
