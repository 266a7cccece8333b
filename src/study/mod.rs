//! Studies: sets of runs that show what training tasks together does to each.

mod advised_recipe;
mod answering;
mod arm;
mod estimate;
mod execute;
mod findings;
mod folder;
mod plan;
mod queue;
pub mod report;
mod result;

pub use answering::answering;
pub use arm::Arm;
pub use estimate::{free_memory, time_a_token};
pub use findings::{About, Changes, FORMAT, advised, findings};
pub use folder::{RESULT_FILE, RUNS_FOLDER, STUDY_FILE, StudyFolder};
pub use plan::{LEAST_STEPS, Options, Plan, Planned};
pub use queue::{Means, Progress, run_all};
pub use report::Report;
pub use result::{Affinity, Clock, Cosines, Evaluated, RunResult, TaskResult};
