//! Studies: sets of runs that show what training tasks together does to each.

mod arm;
pub mod report;
mod result;

pub use arm::Arm;
pub use report::Report;
pub use result::{Affinity, Clock, Cosines, Evaluated, RunResult, TaskResult};
