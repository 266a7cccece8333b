//! How much memory of a device a run needs, and what to do where it is too little.

use super::Prepared;
use super::memory::{FLOAT, a_token, gradient_numbers, number};
use crate::error::{Error, Problem, Result};
use crate::gradient::device_memory;
use crate::model::JointModel;
use crate::recipe::TrainingDtype;

/// Parts of a run's memory on its device at the peak, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePlan {
    /// All parameters. They are there as soon as the model is.
    pub parameters: usize,
    /// Moments and gradients, which do not depend on the length of a pass, and workspaces of libraries.
    pub fixed: usize,
    /// What each token of a pass keeps and needs.
    pub token: usize,
    /// Tokens of a batch, or of this rank's part of one.
    pub tokens: usize,
    /// Tokens of the longest sequence that there may be.
    pub sequence: usize,
    /// What is free of the device's memory beside the parameters.
    pub free: usize,
}

/// Workspaces of cuBLAS and buffers of the input, about.
const WORKSPACE: usize = 128 << 20;

impl DevicePlan {
    /// The plan of a run with this model; `None` on the CPU.
    pub fn new(prepared: &Prepared, model: &JointModel) -> Option<Self> {
        let (free, _) = device_memory(model.device())?;
        let (training, arena) = (&prepared.recipe.training, model.arena());
        let (backbone, heads) = model.size();
        let rows = super::trainer::gradient_rows(&prepared.recipe);
        // Of a batch that several ranks share, the longest sequence may be beyond an equal part.
        let sequence = prepared.recipe.backbone.max_tokens;
        let tokens = match prepared.ranks.ranks() {
            1 => training.batch_tokens.max(sequence),
            ranks => training.batch_tokens.div_ceil(ranks) + sequence,
        };
        let rounded = match training.dtype {
            TrainingDtype::F32 => 0,
            // The layers' weights once more, rounded.
            TrainingDtype::Bf16 | TrainingDtype::F16 => number(training.dtype) * backbone,
        };
        let gradients = gradient_numbers(arena, rows, tokens * training.accumulate);
        Some(Self {
            parameters: FLOAT * (backbone + heads),
            fixed: FLOAT * (2 * arena.len() + gradients) + rounded + WORKSPACE,
            token: a_token(prepared, model) * 17 / 16,
            tokens,
            sequence,
            free,
        })
    }

    /// What a run needs with passes over whole batches.
    pub fn total(&self) -> usize {
        self.parameters + self.fixed + self.tokens * self.token
    }

    /// Tokens of a pass, where a whole batch does not fit; `None` where it does.
    ///
    /// # Errors
    /// If not even one sequence does.
    pub fn pieces(&self) -> Result<Option<usize>> {
        // The plan is a guess, and memory is given out in blocks.
        let room = self.free - self.free / 16;
        if self.fixed + self.tokens * self.token <= room {
            return Ok(None);
        }
        if self.fixed + self.sequence * self.token > room {
            let found = format!("a device with {} free", megabytes(self.free));
            let expected =
                format!("about {} beside the parameters", megabytes(self.fixed + self.sequence * self.token));
            return Err(Problem::new(found, expected, HELP).key("--device").device());
        }
        Ok(Some((room - self.fixed) / self.token))
    }
}

const HELP: &str = "end other programs on the device, or lower it with `training.dtype = \"bf16\"`, `training.recompute = \
                    true`, a smaller `training.batch_tokens`, `backbone.freeze`, or `training.conflicts_every = 0` (one \
                    gradient less a task)";

fn megabytes(bytes: usize) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// An error for want of memory on a device as one that says what to change.
pub(super) fn explain(error: Error, tokens: usize) -> Error {
    let Error::Candle(inner) = &error else { return error };
    let text = inner.to_string().to_lowercase();
    if !text.contains("out_of_memory") && !text.contains("out of memory") && !text.contains("alloc_failed") {
        return error;
    }
    let found = format!("too little memory on the device for a step with passes of {tokens} tokens");
    Problem::new(found, "a step that fits", HELP).key("--device").device()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(free: usize) -> DevicePlan {
        DevicePlan { parameters: 400, fixed: 1600, token: 10, tokens: 1000, sequence: 128, free }
    }

    #[test]
    fn batches_are_divided_where_they_do_not_fit() {
        assert_eq!(plan(16000).pieces().unwrap(), None);
        assert_eq!(plan(8000).pieces().unwrap(), Some((7500 - 1600) / 10));
        let error = plan(2000).pieces().unwrap_err().to_string();
        assert!(error.contains("--device") && error.contains("training.batch_tokens"), "{error}");
        assert_eq!(plan(0).total(), 400 + 1600 + 10000);
    }

    #[test]
    fn only_a_want_of_memory_is_explained() {
        let candle = |text: &str| Error::Candle(candle_core::Error::Msg(text.into()));
        let explained = explain(candle("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), 1024).to_string();
        assert!(explained.contains("1024 tokens") && explained.contains("training.recompute"), "{explained}");
        assert!(explain(candle("shapes differ"), 1024).to_string().contains("shapes differ"));
    }
}
