//! How task losses become one objective: one file a method.

mod equal;
mod fixed;

use crate::error::Result;
use crate::recipe::Balance;

/// A balancing method: one weight a task for each step, and whatever it remembers between steps.
pub trait Method: Send {
    /// Weights of the mean task losses for this step, one a task; absent tasks have no loss.
    fn weights(&mut self, losses: &[Option<f32>]) -> Vec<f64>;

    /// What a resumed run needs to go on as if it had never stopped.
    fn state(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this method.
    fn restore(&mut self, _state: &serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// The method that a recipe names, for tasks of these names.
pub fn method<'a>(balance: &Balance, tasks: impl IntoIterator<Item = &'a str>) -> Box<dyn Method> {
    match balance {
        Balance::Equal {} => Box::new(equal::Equal),
        Balance::Fixed { weights } => {
            Box::new(fixed::Fixed(tasks.into_iter().map(|task| weights.get(task).copied().unwrap_or(1.0)).collect()))
        }
    }
}
