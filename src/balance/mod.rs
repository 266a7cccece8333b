//! How task losses become one objective: one file a method.

mod balancer;
mod method;
mod registry;

mod auto_lambda;
mod db_mtl;
mod dtp;
mod dwa;
mod equal;
mod excess_mtl;
mod famo;
mod fixed;
mod forum;
mod gls;
mod graddrop;
mod gradnorm;
mod imtl_l;
mod moco;
mod moml;
mod rlw;
mod stch;
mod trimmed_mean;
mod uncertainty;

mod hypergradient;
mod learned;
mod softmax;
#[cfg(test)]
mod testing;

mod aligned_mtl;
mod cagrad;
mod config;
mod cr_mogm;
mod dualproj;
mod fairgrad;
mod gradvac;
mod imtl_g;
mod krum;
mod mgda;
mod modo;
mod nash_mtl;
mod pcd;
mod pcgrad;
mod sdmgrad;
mod upgrad;

mod solve;

#[cfg(test)]
mod example;
#[cfg(test)]
mod golden;

pub use balancer::{Balancer, Measured};
pub use method::{Element, Method, Needs, Step, Unsolved};
pub use registry::{Entry, Settings, method, methods};

/// A small dense matrix of inner products.
pub type Matrix = nalgebra::DMatrix<f64>;
