//! How task losses become one objective: one file a method.

mod balancer;
mod method;
mod registry;

mod aligned_mtl;
mod auto_lambda;
mod cagrad;
mod config;
mod cr_mogm;
mod db_mtl;
mod dtp;
mod dualproj;
mod dwa;
mod equal;
mod excess_mtl;
mod fairgrad;
mod famo;
mod fixed;
mod forum;
mod gls;
mod graddrop;
mod gradnorm;
mod gradvac;
mod imtl_g;
mod imtl_l;
mod krum;
mod mgda;
mod moco;
mod modo;
mod moml;
mod nash_mtl;
mod pcd;
mod pcgrad;
mod rlw;
mod sdmgrad;
mod stch;
mod trimmed_mean;
mod uncertainty;
mod upgrad;

mod hypergradient;
mod learned;
mod softmax;
mod solve;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod testing;

pub use balancer::{Balancer, Measured};
pub use method::{Elements, Method, Needs, Step, Unsolved};
pub use registry::{Entry, Settings, method, methods};

/// A small dense matrix of inner products.
pub type Matrix = nalgebra::DMatrix<f64>;
