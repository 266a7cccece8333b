//! Embeddings.

use super::super::EmbeddingTables;
use super::tap::root;
use super::value;
use crate::gradient::Recorder;
use candle_core::{Result, Tensor, Var};

/// As [`embedding`](super::super::embedding), on the device of `variable` or of the tables.
pub fn embedding(tables: EmbeddingTables, variable: Option<&Var>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let near = variable.map_or_else(|| tables.tables[0].0.value.clone(), |root| root.as_tensor().clone());
    let width = tables.tables[0].0.value.dim(1)?;
    let mut sum = Tensor::zeros((tables.tables[0].1.len(), width), near.dtype(), near.device())?;
    for (table, indices) in tables.tables.iter().filter(|(_, indices)| !indices.is_empty()) {
        let indices = Tensor::from_slice(indices, indices.len(), near.device())?;
        sum = (sum + value(table, &near)?.index_select(&indices, 0)?)?;
    }
    let Some(variable) = variable else { return Ok(sum) };
    let recorder = recorder.cloned();
    root(&sum, variable, move |dy| {
        let Some(recorder) = &recorder else { return Ok(()) };
        for (table, indices) in &tables.tables {
            if let Some(slot) = table.slot {
                recorder.record_rows_of(slot, indices, dy)?;
            }
        }
        Ok(())
    })
}
