//! From a recipe to a trained model: preparation, steps, evaluation, state, export.

mod affinity;
mod answers;
mod conflicts;
mod draw;
mod evaluate;
mod export;
mod feed;
mod length;
mod memory;
mod prepare;
mod progress;
mod run;
mod schedule;
mod scoring;
mod search;
mod state;
mod step;
mod telemetry;
mod trainer;
mod weighing;

pub use affinity::Affinity;
pub use answers::Answers;
pub use conflicts::{Conflicts, Persistent};
pub use evaluate::{Scores, answer, evaluate};
pub use export::export;
pub use length::Drawn;
pub use memory::{MemoryPlan, peak_memory};
pub use prepare::{Prepared, PreparedTask};
pub use progress::{Evaluation, Event, Observer, StepEvent};
pub use run::{METRICS_FILE, Outcome, RECIPE_FILE, Run};
pub use schedule::LearningRate;
pub use search::{Budget, SEARCH_FILE, Trial};
pub use state::{Position, RunState, StateArrays, save_state};
pub use step::StepReport;
pub use trainer::Trainer;
