//! Embeddings on the device.

use super::launch::{Word, alloc, device, device_of, launch, stored, upload, view, warps};
use crate::gradient::Recorder;
use crate::ops::EmbeddingTables;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, Var};

/// The tables that one launch adds up.
const TABLES: usize = 4;

struct Embedding {
    tables: EmbeddingTables,
    width: usize,
    tokens: usize,
    recorder: Option<Recorder>,
}

/// As [`embedding`](super::super::embedding), which has checked shapes and indices.
pub fn embedding(tables: EmbeddingTables, root: Option<&Var>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let Some((first, indices)) = tables.tables.first() else { candle_core::bail!("embedding: no table") };
    if tables.tables.len() > TABLES {
        candle_core::bail!("embedding: {} tables, and kernels for {TABLES}", tables.tables.len());
    }
    let (width, tokens, device) = (first.value.dim(1)?, indices.len(), first.value.device().clone());
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

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = device(storage);
        let (tokens, width) = (self.tokens, self.width);
        let y = alloc::<f32>(&device, tokens * width)?;
        if tokens * width > 0 {
            let tables = self.tables.tables.iter().map(|(table, _)| view(&table.value)).collect::<Result<Vec<_>>>()?;
            let at = |table: usize| tables.get(table).map_or(0u64, Word::word);
            let indices: Vec<u32> =
                self.tables.tables.iter().flat_map(|(_, indices)| indices.iter().copied()).collect();
            let indices = upload(&device, &indices)?;
            launch!(
                &device,
                "embedding",
                "embedding_sum",
                warps(tokens),
                at(0),
                at(1),
                at(2),
                at(3),
                indices,
                y,
                tokens,
                width,
            );
        }
        Ok(stored(y, &device, (tokens, width)))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(recorder) = self.recorder.as_ref().filter(|_| y.elem_count() > 0) else { return Ok(None) };
        device_of(y)?;
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { return super::elsewhere() };
        let start = layout.start_offset();
        let dy = storage.as_cuda_slice::<f32>()?.slice(start..start + gradient.elem_count());
        for (table, indices) in &self.tables.tables {
            if let Some(slot) = table.slot {
                recorder.record_rows_on_device(slot, indices, &dy, self.width)?;
            }
        }
        Ok(None)
    }
}
