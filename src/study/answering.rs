//! What answering all heads costs: by one model, and by a model a task.

use super::report::Answering;
use crate::checkpoint::MultiTask;
use crate::data::Input;
use crate::error::Result;
use crate::train::Prepared;
use std::path::Path;
use std::time::Instant;

/// Texts that are answered.
const TEXTS: usize = 200;

/// Times the answers of a joint checkpoint: of all heads at once, and of each head by itself, which costs what a model of
/// that task alone costs. `None` if the heads do not read the same kind of input.
///
/// # Errors
/// If the checkpoint cannot be read.
pub fn answering(prepared: &Prepared, checkpoint: &Path) -> Result<Option<Answering>> {
    let kind = |input: &Input| std::mem::discriminant(input);
    let firsts: Vec<_> =
        prepared.tasks.iter().filter_map(|task| task.data.validation.first()).map(|row| kind(&row.input)).collect();
    if firsts.len() < 2 || firsts.iter().any(|first| *first != firsts[0]) {
        return Ok(None);
    }
    let predictor = MultiTask::load(checkpoint)?;
    let rows = prepared.tasks.iter().flat_map(|task| &task.data.validation);
    let texts: Vec<Input> = rows.map(|row| row.input.clone()).take(TEXTS).collect();
    let names: Vec<&str> = prepared.tasks.iter().map(|task| task.data.name.as_str()).collect();
    let time = |heads: &[&str]| -> Result<f64> {
        let start = Instant::now();
        predictor.predict(&texts, heads)?;
        Ok(start.elapsed().as_secs_f64())
    };
    // The first answers find everything cold.
    time(&names)?;
    let joint = time(&names)?;
    let single = names.iter().map(|name| time(&[*name])).sum::<Result<f64>>()?;
    Ok(Some(Answering { texts: texts.len(), joint, single }))
}
