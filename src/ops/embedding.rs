//! Word, position and segment embeddings of packed tokens, added up.

use super::composed;
use super::kernel::{for_rows, slice, view};
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, Var};

/// Tables `[entries, width]` and the entry that each token takes from each.
pub struct EmbeddingTables {
    /// A table and one index a token.
    pub tables: Vec<(Parameter, Vec<u32>)>,
}

struct Embedding {
    tables: EmbeddingTables,
    width: usize,
    tokens: usize,
    recorder: Option<Recorder>,
}

/// Sum of one row of each table a token; result `[tokens, width]`.
///
/// With a `root` the result is tracked (see [`anchor`](super::anchor)).
///
/// # Errors
/// If widths or token counts differ, or an index lies outside its table.
pub fn embedding(tables: EmbeddingTables, root: Option<&Var>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let Some((first, indices)) = tables.tables.first() else { candle_core::bail!("embedding: no table") };
    let (width, tokens) = (first.value.dim(1)?, indices.len());
    for (table, indices) in &tables.tables {
        let (entries, table_width) = table.value.dims2()?;
        if table_width != width || indices.len() != tokens {
            candle_core::bail!("embedding: tables of width {width} and {table_width}, or token counts that differ");
        }
        if let Some(index) = indices.iter().find(|&&index| index as usize >= entries) {
            candle_core::bail!("embedding: index {index} in a table of {entries} entries");
        }
    }
    if composed::needed(root.map_or(&first.value, Var::as_tensor))? {
        return composed::embedding(tables, root, recorder);
    }
    #[cfg(feature = "cuda")]
    if first.value.device().is_cuda() {
        return super::cuda::embedding(tables, root, recorder);
    }
    let device = first.value.device().clone();
    let op = Embedding { tables, width, tokens, recorder: recorder.cloned() };
    match root {
        Some(root) => root.as_tensor().apply_op1(op),
        None => Tensor::zeros(1, candle_core::DType::F32, &device)?.apply_op1(op),
    }
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        slice(storage, layout)?;
        let width = self.width;
        let mut out = vec![0.0; self.tokens * width];
        for (table, indices) in &self.tables.tables {
            let table = view(&table.value)?;
            let table: &[f32] = &table;
            for_rows(
                &mut out,
                width,
                #[inline(always)]
                |first, out| {
                    for (out, &index) in out.chunks_exact_mut(width).zip(&indices[first..]) {
                        let row = &table[index as usize * width..][..width];
                        for (out, value) in out.iter_mut().zip(row) {
                            *out += value;
                        }
                    }
                },
            );
        }
        Ok((CpuStorage::F32(out), (self.tokens, width).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(recorder) = &self.recorder else { return Ok(None) };
        let gradient = gradient.contiguous()?;
        let dy = view(&gradient)?;
        let width = self.width;
        for (table, indices) in &self.tables.tables {
            let Some(slot) = table.slot else { continue };
            recorder.record_rows(slot, indices, &dy, width);
        }
        Ok(None)
    }
}
