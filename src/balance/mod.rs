//! How task losses become one objective: one file a method.

mod balancer;
mod method;
mod registry;

mod equal;
mod fixed;
mod uncertainty;
mod dwa;
mod rlw;
mod gls;
mod imtl_l;
mod stch;
mod famo;
mod dtp;
mod gradnorm;
mod excess_mtl;
mod db_mtl;
mod moco;
mod graddrop;
mod trimmed_mean;
mod auto_lambda;
mod forum;
mod moml;

mod hypergradient;
mod learned;
mod softmax;
#[cfg(test)]
mod testing;

mod imtl_g;
mod mgda;
mod pcgrad;
mod gradvac;
mod cagrad;
mod nash_mtl;
mod aligned_mtl;
mod fairgrad;
mod upgrad;
mod dualproj;
mod config;
mod krum;
mod cr_mogm;
mod pcd;
mod modo;
mod sdmgrad;

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
