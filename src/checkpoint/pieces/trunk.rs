//! What is below the heads, known by its numbers.

use crate::files::HashingWriter;
use crate::model::{BackboneConfig, Weights};
use std::collections::HashSet;
use std::io::{Write, sink};

/// Numbers hashed at a time.
const BLOCK: usize = 1 << 12;

/// SHA-256 of the backbone's tensors, in hexadecimal digits: of name, shape and numbers as f32, sorted by name.
///
/// Heads and other tensors that are not the backbone's do not count, nor does the number format of the file, as long as it
/// holds the same numbers: weights in f16 have the same hash when they are stored in f32.
pub fn trunk_sha256(config: &BackboneConfig, weights: &Weights) -> String {
    let named = |name: &str| config.canonical_name(name);
    let pooler = weights.keys().any(|name| named(name) == "pooler.dense.weight");
    let own: HashSet<String> = config.parameters(pooler).into_iter().map(|spec| spec.name).collect();
    let mut tensors: Vec<_> = weights.iter().map(|(name, weight)| (named(name), weight)).collect();
    tensors.retain(|(name, _)| own.contains(name));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = HashingWriter::new(sink());
    let mut add = |bytes: &[u8]| hash.write_all(bytes).expect("a sink takes everything");
    let mut block = Vec::with_capacity(4 * BLOCK);
    for (name, weight) in tensors {
        // No name holds a zero byte, and the shape says how many numbers follow.
        add(name.as_bytes());
        add(&[0]);
        add(&(weight.shape.len() as u64).to_le_bytes());
        weight.shape.iter().for_each(|&size| add(&(size as u64).to_le_bytes()));
        for values in weight.values.chunks(BLOCK) {
            block.clear();
            block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            add(&block);
        }
    }
    hash.finish()
}
