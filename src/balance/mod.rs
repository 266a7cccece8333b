//! How task losses become one objective: one file a method.

mod balancer;
mod method;
mod registry;

mod equal;
mod fixed;

pub use balancer::{Balancer, Measured};
pub use method::{Element, Method, Needs, Step, Unsolved};
pub use registry::{Entry, Settings, method, methods};

/// A small dense matrix of inner products.
pub type Matrix = nalgebra::DMatrix<f64>;
