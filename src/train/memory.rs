//! How much memory a run needs: foretold from its sizes, and as it was.

use super::Prepared;
use crate::balance::Needs;
use crate::gradient::Arena;
use crate::model::JointModel;
use crate::recipe::TrainingDtype;

/// Parts of a run's memory at its peak, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// All parameters, and the trained ones once more as they were at the best step.
    pub parameters: usize,
    /// AdamW's moments.
    pub moments: usize,
    /// Gradients of one step, and what a balancing method keeps of those before.
    pub gradients: usize,
    /// What a step keeps and needs beside parameters and gradients.
    pub activations: usize,
    /// The tokenized data.
    pub data: usize,
    /// The program itself, its tokenizer and what its allocator holds back.
    pub program: usize,
}

/// What the program, its tokenizer and the loading of data need beside the data, measured.
const PROGRAM: usize = 100 << 20;
/// Numbers of f32.
pub(super) const FLOAT: usize = 4;
/// Tokens of a batch in evaluations.
const EVALUATION: usize = super::evaluate::BATCH_TOKENS;

impl MemoryPlan {
    /// The plan of a run with this model.
    pub fn new(prepared: &Prepared, model: &JointModel) -> Self {
        let training = &prepared.recipe.training;
        let (arena, config) = (model.arena(), model.config());
        let (backbone, heads) = model.size();
        let rows = super::trainer::gradient_rows(&prepared.recipe);
        let (balance, tasks) = (&prepared.recipe.balance, prepared.tasks.len());
        let needs = crate::balance::method(&balance.method).map(|method| method.needs);
        let history = match needs {
            Some(Needs::Traces | Needs::Squares) => tasks * arena.shared_len(),
            _ => 0,
        };
        // As the trainer lays them out: the joint gradient stays in f32.
        let rows_in_bf16 = match (training.dtype, needs) {
            (TrainingDtype::F32 | TrainingDtype::F16, _) => 0,
            (TrainingDtype::Bf16, Some(needs)) if needs.reads_gradients() => rows,
            (TrainingDtype::Bf16, _) => rows - 1,
        };
        // A validation batch has a row of each task at least.
        let tokens = match needs {
            Some(Needs::Validation) => training.batch_tokens.max(tasks * prepared.recipe.backbone.max_tokens),
            _ => training.batch_tokens,
        };
        // Beside a model in a trial lies the one of the run.
        let models = if balance.method == "search" { 2 } else { 1 };
        Self {
            parameters: models * FLOAT * (backbone + heads + arena.len()),
            moments: models * 2 * FLOAT * arena.len(),
            gradients: models * FLOAT * (gradient_numbers(arena, rows, tokens * training.accumulate) + history)
                - models * FLOAT / 2 * rows_in_bf16 * arena.shared_len(),
            activations: Self::activations(prepared, model, tokens, config.hidden(), config.inner()),
            data: prepared.tasks.iter().map(|task| data_of(&task.splits())).sum(),
            program: PROGRAM,
        }
    }

    /// Their sum.
    pub fn total(&self) -> usize {
        self.parameters + self.moments + self.gradients + self.activations + self.data + self.program
    }

    fn activations(prepared: &Prepared, model: &JointModel, tokens: usize, hidden: usize, inner: usize) -> usize {
        let number = number(prepared.recipe.training.dtype);
        let a_token = a_token(prepared, model);
        // Weights as operands of one layer's products, and the input of a weight's gradient.
        let operands = (12 * hidden * hidden + tokens * inner) * number;
        let step = tokens * a_token + operands;
        // The last one is in f32.
        let evaluation = EVALUATION * 12 * hidden * FLOAT;
        // Buffers are an eighth longer at most.
        step.max(evaluation) * 17 / 16
    }
}

/// Bytes of a number of the layers' products.
pub(super) fn number(dtype: TrainingDtype) -> usize {
    match dtype {
        TrainingDtype::F32 => FLOAT,
        TrainingDtype::Bf16 | TrainingDtype::F16 => 2,
    }
}

/// What a step keeps and needs for each token.
pub(super) fn a_token(prepared: &Prepared, model: &JointModel) -> usize {
    let training = &prepared.recipe.training;
    let (hidden, inner) = (model.config().hidden(), model.config().inner());
    let number = number(training.dtype);
    // As `ops::encoder` keeps and needs them.
    let kept = (7 * hidden + inner) * number;
    let passing = (7 * hidden + 2 * inner) * number + 4 * hidden * FLOAT;
    let layers = model.trained_layers();
    let own = match training.recompute {
        true => layers * hidden * FLOAT + kept.min(layers * kept) + passing,
        false => layers * kept + passing,
    };
    own + 5 * hidden * FLOAT
}

pub(super) fn gradient_numbers(arena: &Arena, rows: usize, tokens: usize) -> usize {
    let table = |table: &crate::gradient::Table| table.width * table.entries.min(tokens);
    let tables: usize = arena.tables().iter().map(table).sum();
    rows * (arena.shared_len() + tables) + arena.len() - arena.heads_start()
}

fn data_of(splits: &[&[crate::data::Example]]) -> usize {
    let example = |example: &crate::data::Example| {
        let encoded = &example.encoded;
        size_of_val(example) + FLOAT * (encoded.ids.len() + encoded.type_ids.len() + encoded.first_tokens.len())
    };
    // The texts stay beside their tokens; a token is about four letters.
    let text = |example: &crate::data::Example| 4 * example.encoded.ids.len() + 64;
    splits.iter().flat_map(|split| split.iter()).map(|one| example(one) + text(one)).sum()
}

/// The largest resident memory of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
