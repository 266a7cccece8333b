//! Random damage: nothing panics, nothing that was changed is accepted.

use super::sample::{tensors, write_sample};
use mtl_zoo::checkpoint::{CheckpointFolder, Manifest, TensorData, TensorFile, write_tensors};
use mtl_zoo::recipe::CheckpointDtype;
use mtl_zoo::{Error, Fault};
use std::fs;
use std::path::Path;

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    /// Flips, cuts, copies, inserts or overwrites a few bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>, within: usize) {
        const TOKENS: [&[u8]; 12] =
            [b"{", b"}", b"[", b"]", b"\"", b",", b"9999999999999999999", b"-1", b"null", b"1e99", b"\\u0000", b"../"];
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(within.min(bytes.len())), self.below(within.min(bytes.len())));
            match self.below(5) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = bytes[other],
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.splice(at..at, TOKENS[self.below(TOKENS.len())].iter().copied())),
                _ => drop(bytes.drain(at.min(other)..at.max(other).min(at.min(other) + 8))),
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
    }
}

fn file_bytes() -> Vec<u8> {
    let tensors = tensors(1);
    let data: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| TensorData { name: name.clone(), shape: shape.clone(), values })
        .collect();
    let mut bytes = Vec::new();
    write_tensors(&mut bytes, Path::new("x"), &data, CheckpointDtype::F32, &[("format", "pt")]).unwrap();
    bytes
}

#[test]
fn every_truncation_is_a_length_fault() {
    let bytes = file_bytes();
    for length in 0..bytes.len() {
        let error = TensorFile::from_bytes("x", bytes[..length].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { fault: Fault::Length, .. }), "{length}: {error}");
    }
}

#[test]
fn what_is_accepted_the_safetensors_crate_accepts() {
    let bytes = file_bytes();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut random = Random(1);
    let mut accepted = 0;
    for i in 0..40_000 {
        let mut mutant = bytes.clone();
        random.damage(&mut mutant, header);
        if random.below(2) == 0 && mutant.len() > 16 && mutant.len() >= bytes.len() - 64 {
            // Makes the lengths agree again, so that more than the first check is reached.
            let length = (header + mutant.len()).saturating_sub(8 + bytes.len());
            mutant[..8].copy_from_slice(&(length as u64).to_le_bytes());
        }
        if let Ok(file) = TensorFile::from_bytes("x", mutant.clone()) {
            accepted += 1;
            let reference = safetensors::SafeTensors::deserialize(&mutant).unwrap_or_else(|e| panic!("{i}: {e}"));
            for tensor in file.iter() {
                let other = reference.tensor(tensor.name).unwrap();
                assert_eq!((tensor.shape, tensor.data), (other.shape(), other.data()));
                if tensor.is_float() {
                    assert_eq!(tensor.to_f32().unwrap().len(), tensor.elements());
                }
            }
        }
    }
    assert!(accepted > 100, "the damage is too great to test anything: {accepted}");
}

#[test]
fn damaged_manifests_do_not_panic() {
    let root = tempfile::tempdir().unwrap();
    write_sample(root.path(), 1);
    let bytes = fs::read(root.path().join("mtl_zoo.json")).unwrap();
    let mut random = Random(2);
    for _ in 0..20_000 {
        let mut mutant = bytes.clone();
        random.damage(&mut mutant, bytes.len());
        if let Ok(manifest) = Manifest::from_json("mtl_zoo.json", &mutant) {
            assert_eq!(Manifest::from_json("mtl_zoo.json", &manifest.to_json()).unwrap(), manifest);
        }
    }
}

#[test]
fn damaged_folders_do_not_panic() {
    let root = tempfile::tempdir().unwrap();
    write_sample(root.path(), 1);
    let mut random = Random(3);
    for name in ["model.safetensors", "config.json", "tokenizer.json", "vocab.txt"] {
        let path = root.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for _ in 0..300 {
            let mut mutant = bytes.clone();
            random.damage(&mut mutant, bytes.len());
            fs::write(&path, &mutant).unwrap();
            assert_eq!(CheckpointFolder::open(root.path()).is_ok(), mutant == bytes, "{name}");
        }
        fs::write(&path, &bytes).unwrap();
    }
    CheckpointFolder::open(root.path()).unwrap();
}

#[test]
fn newer_minor_versions_and_other_files_are_read() {
    let root = tempfile::tempdir().unwrap();
    let manifest = write_sample(root.path(), 1);
    let path = root.path().join("mtl_zoo.json");
    let json = fs::read_to_string(&path).unwrap().replacen("\"1.0\"", "\"1.7\", \"news\": {\"a\": [1]}", 1);
    fs::write(&path, json.replacen("\"loss\"", "\"temperature\": 2.5, \"loss\"", 1)).unwrap();
    fs::write(root.path().join("training.log"), "x").unwrap();
    let opened = CheckpointFolder::open(root.path()).unwrap();
    assert_eq!(opened.manifest, Manifest { format: "1.7".into(), ..manifest });
}

#[test]
fn sparse_giants_and_folders_in_place_of_files() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("checkpoint");
    write_sample(&dir, 1);
    let path = dir.join("model.safetensors");
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    let error = CheckpointFolder::open(&dir).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { fault: Fault::Length, .. }), "{error}");
    fs::File::options().write(true).open(dir.join("mtl_zoo.json")).unwrap().set_len(1 << 40).unwrap();
    let error = CheckpointFolder::open(&dir).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { fault: Fault::Value, .. }), "{error}");

    write_sample(&dir, 1);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = CheckpointFolder::open(&dir).unwrap_err();
    assert!(matches!(&error, Error::Io { path: at, .. } if *at == path), "{error}");
    let error = CheckpointFolder::open(root.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
}
