//! Writes safetensors files: names sorted, one dtype, the same tensors give the same bytes.

use super::header::StoredDtype;
use crate::error::{Fault, IoContext, Problem, Result};
use crate::recipe::CheckpointDtype;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// Values converted at a time.
const BLOCK: usize = 1 << 13;

/// One tensor to be stored.
#[derive(Clone, Debug)]
pub struct TensorData<'a> {
    /// Its name.
    pub name: String,
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The values in C order.
    pub values: &'a [f32],
}

/// Writes tensors as a safetensors file to `out`; `path` only names the file in errors.
///
/// Values are converted block by block, rounded to nearest; there is no second copy of the model in memory.
///
/// # Errors
/// A name twice, a shape that does not fit the values, a value that is not finite or too large for `dtype`
/// ([`Error::Checkpoint`](crate::Error::Checkpoint) naming the tensor), or a failed write.
pub fn write_tensors(
    out: &mut dyn Write,
    path: &Path,
    tensors: &[TensorData<'_>],
    dtype: CheckpointDtype,
    metadata: &[(&str, &str)],
) -> Result<()> {
    let mut sorted: Vec<&TensorData<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    out.write_all(&header(path, &sorted, dtype, metadata)?).at("write", path)?;
    let mut bytes = Vec::with_capacity(BLOCK * 4);
    for tensor in sorted {
        for (i, block) in tensor.values.chunks(BLOCK).enumerate() {
            bytes.clear();
            if let Err(at) = encode(block, dtype, &mut bytes) {
                return Err(unstorable(path, tensor, i * BLOCK + at, dtype));
            }
            out.write_all(&bytes).at("write", path)?;
        }
    }
    Ok(())
}

/// Length and JSON, padded so that the data starts at a multiple of 8 bytes.
fn header(
    path: &Path,
    sorted: &[&TensorData<'_>],
    dtype: CheckpointDtype,
    metadata: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let (stored, width) = match dtype {
        CheckpointDtype::F32 => (StoredDtype::F32, 4),
        CheckpointDtype::F16 => (StoredDtype::F16, 2),
        CheckpointDtype::Bf16 => (StoredDtype::Bf16, 2),
    };
    let refuse = |tensor: &TensorData<'_>, found: String, expected: String| {
        let help = "this is a defect of the program that exports; please report it";
        Problem::new(found, expected, help).file(path).key(&tensor.name)
    };
    let mut map = Map::new();
    if !metadata.is_empty() {
        let pairs: Map<String, Value> = metadata.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
        map.insert("__metadata__".into(), Value::Object(pairs));
    }
    let mut end = 0;
    for tensor in sorted {
        let TensorData { name, shape, values } = tensor;
        if shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)) != Some(values.len()) {
            let problem = refuse(tensor, format!("{} values", values.len()), format!("those of shape {shape:?}"));
            return Err(problem.checkpoint(Fault::Shape));
        }
        let start = end;
        end += values.len() * width;
        let entry = json!({"dtype": stored.to_string(), "shape": shape, "data_offsets": [start, end]});
        if name == "__metadata__" || map.insert(name.clone(), entry).is_some() {
            return Err(refuse(tensor, "the name twice".into(), "one tensor a name".into()).checkpoint(Fault::Header));
        }
    }
    let mut json = Value::Object(map).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

/// Appends the values to `bytes`, or says which of them cannot be stored.
fn encode(values: &[f32], dtype: CheckpointDtype, bytes: &mut Vec<u8>) -> std::result::Result<(), usize> {
    let check = |finite: Option<usize>| finite.map_or(Ok(()), Err);
    match dtype {
        CheckpointDtype::F32 => {
            check(values.iter().position(|v| !v.is_finite()))?;
            values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }
        CheckpointDtype::F16 => {
            let mut block = [f16::ZERO; BLOCK];
            let block = &mut block[..values.len()];
            block.convert_from_f32_slice(values);
            check(block.iter().position(|v| !v.is_finite()))?;
            block.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }
        CheckpointDtype::Bf16 => {
            let mut block = [bf16::ZERO; BLOCK];
            let block = &mut block[..values.len()];
            block.convert_from_f32_slice(values);
            check(block.iter().position(|v| !v.is_finite()))?;
            block.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }
    }
    Ok(())
}

fn unstorable(path: &Path, tensor: &TensorData<'_>, at: usize, dtype: CheckpointDtype) -> crate::Error {
    let value = tensor.values[at];
    let (expected, help) = if !value.is_finite() {
        ("a finite number", "training diverged; lower `training.learning_rate`")
    } else if dtype == CheckpointDtype::F16 {
        ("at most 65504, the largest f16", "set `checkpoint.dtype` to \"f32\" or \"bf16\"")
    } else {
        ("at most 3.39e38, the largest bf16", "set `checkpoint.dtype` to \"f32\"")
    };
    let problem = Problem::new(format!("value {value} at position {at}"), expected, help);
    problem.file(path).key(&tensor.name).checkpoint(Fault::Value)
}
