//! Studies: sets of runs that show what training tasks together does to each.

mod advice;
mod advised_recipe;
mod answering;
mod arm;
mod changes;
mod conflict;
mod delta_m;
mod effect;
mod estimate;
mod execute;
mod findings;
mod folder;
mod generalization;
mod grouping;
mod headline;
mod labels;
mod method;
mod numbers;
mod plan;
mod queue;
pub mod report;
mod result;
mod runs;
mod statistics;
#[cfg(test)]
mod tests;
mod time;
mod transfer;

pub use answering::answering;
pub use arm::Arm;
pub use changes::{Changes, advised};
pub use estimate::{free_memory, time_a_token};
pub use findings::{About, FORMAT, findings};
pub use folder::{RESULT_FILE, RUNS_FOLDER, STUDY_FILE, StudyFolder};
pub use plan::{LEAST_STEPS, Options, Plan, Planned};
pub use queue::{Means, Progress, run_all};
pub use report::Report;
pub use result::{Affinity, Clock, Cosines, Evaluated, RunResult, TaskResult};
