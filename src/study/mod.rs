//! Studies: sets of runs that show what training tasks together does to each.

mod advice;
mod arm;
mod changes;
mod conflict;
mod delta_m;
mod effect;
mod findings;
mod generalization;
mod grouping;
mod headline;
mod labels;
mod method;
mod numbers;
pub mod report;
mod result;
mod runs;
mod statistics;
#[cfg(test)]
mod tests;
mod time;
mod transfer;

pub use arm::Arm;
pub use changes::{Changes, advised};
pub use findings::{About, FORMAT, findings};
pub use report::Report;
pub use result::{Affinity, Clock, Cosines, Evaluated, RunResult, TaskResult};
