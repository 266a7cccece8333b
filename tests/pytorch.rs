//! Weights that are a pickle: read without running anything, converted once. `scripts/make_pytorch_goldens.py` makes the
//! files.

mod support;

use mtl_zoo::checkpoint::{StoredDtype, TensorFile};
use mtl_zoo::hub::pytorch::{Converted, convert_in};
use mtl_zoo::hub::{BACKBONE_FILES, CHECKPOINT_FILES, HubOptions, resolve_checkpoint};
use mtl_zoo::{Error, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::root;

fn golden(name: &str) -> PathBuf {
    root().join("tests/data/pytorch").join(name)
}

/// A backbone's folder with these weights.
fn folder(at: &Path, weights: &[u8]) {
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("config.json"), "{}").unwrap();
    fs::write(at.join("tokenizer.json"), "{}").unwrap();
    fs::write(at.join("vocab.txt"), "[PAD]").unwrap();
    fs::write(at.join("pytorch_model.bin"), weights).unwrap();
}

fn converted(at: &Path, weights: &[u8]) -> Result<Converted> {
    folder(&at.join("model"), weights);
    convert_in(&at.join("model"), &BACKBONE_FILES, &at.join("cache"))
}

#[test]
fn both_formats_of_pytorch_give_their_tensors() {
    let expected: Value = serde_json::from_slice(&fs::read(golden("expected.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    for name in ["zip.bin", "legacy.bin"] {
        let at = tempfile::tempdir().unwrap();
        let converted = converted(at.path(), &fs::read(golden(name)).unwrap()).unwrap();
        let tensors = TensorFile::open(converted.folder.join("model.safetensors")).unwrap();
        assert_eq!(tensors.len(), expected.len(), "{name}");
        for (tensor, expected) in expected {
            let found = tensors.get(tensor).unwrap_or_else(|| panic!("{name}: no {tensor}"));
            let numbers = |key: &str| expected[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
            assert!(numbers("shape").eq(found.shape.iter().map(|&size| size as f64)), "{name}: {tensor}");
            let values = found.to_f32().unwrap();
            assert!(numbers("values").eq(values.into_iter().map(f64::from)), "{name}: {tensor}");
        }
        let dtype = |name: &str| tensors.get(name).unwrap().dtype;
        assert_eq!(
            [dtype("half"), dtype("brain"), dtype("double")],
            [StoredDtype::F16, StoredDtype::Bf16, StoredDtype::F32]
        );
        assert!(tensors.get("bert.embeddings.LayerNorm.gamma").is_some(), "names stay as they are");
    }
}

#[test]
fn a_conversion_is_made_once_and_follows_its_files() {
    let at = tempfile::tempdir().unwrap();
    let weights = fs::read(golden("zip.bin")).unwrap();
    let first = converted(at.path(), &weights).unwrap();
    assert!(first.note.contains("nothing was run"), "{}", first.note);
    for file in ["config.json", "tokenizer.json", "vocab.txt"] {
        let (copy, own) = (fs::read(first.folder.join(file)), fs::read(at.path().join("model").join(file)));
        assert_eq!(copy.unwrap(), own.unwrap());
    }
    assert!(first.folder.starts_with(at.path().join("cache")));
    let time = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().modified().unwrap();
    let before = time(&first.folder);
    let again = converted(at.path(), &weights).unwrap();
    assert_eq!((&again.folder, time(&again.folder)), (&first.folder, before));
    assert!(again.note.contains("using the safetensors"), "{}", again.note);

    fs::write(at.path().join("model/config.json"), "{\"other\": 1}").unwrap();
    let other = convert_in(&at.path().join("model"), &BACKBONE_FILES, &at.path().join("cache")).unwrap();
    assert_ne!(other.folder, first.folder);
    assert_eq!(fs::read(other.folder.join("config.json")).unwrap(), b"{\"other\": 1}");
    assert_eq!(fs::read_dir(at.path().join("cache")).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn files_that_lie_are_refused_and_nothing_runs() {
    let cases: [(&str, &[&str]); 29] = [
        ("system.bin", &["`posix.system`", "nothing was run"]),
        ("system_legacy.bin", &["`posix.system`", "nothing was run"]),
        ("eval.bin", &["`__builtin__.eval`", "nothing was run"]),
        ("instance.bin", &["instruction 0x69"]),
        ("unknown.bin", &["instruction 0x92"]),
        ("list.bin", &["no dictionary"]),
        ("integers.bin", &["no tensor of floating-point numbers"]),
        ("nan.bin", &["position 1 of `w`", "finite weights"]),
        ("truncated.bin", &["a broken archive"]),
        ("truncated_legacy.bin", &["a file of", "the numbers of every tensor"]),
        ("pointer.bin", &["a Git LFS pointer"]),
        ("compressed.bin", &["compressed"]),
        ("absurd_shape.bin", &["shape [1099511627776, 1099511627776]"]),
        ("large_shape.bin", &["shape [8589934592]"]),
        ("expanded.bin", &["shape [8589934592]"]),
        ("negative.bin", &["a shape, strides and an offset"]),
        ("offset.bin", &["a shape that its storage can fill"]),
        ("large_storage.bin", &["8589934588 bytes for its storage"]),
        ("no_storage.bin", &["found 0 bytes for `w`"]),
        ("laughs.bin", &["nested too deep"]),
        ("deep.bin", &["nested too deep"]),
        ("long_text.bin", &["4294967295 bytes more"]),
        ("few_arguments.bin", &["the arguments of a tensor"]),
        ("empty.bin", &["the end of the pickle"]),
        ("no_stop.bin", &["the end of the pickle"]),
        ("marks.bin", &["makes no sense"]),
        ("many_names.bin", &["larger than the file several times over"]),
        ("expected.json", &["begins otherwise", "torch.save"]),
        ("../../../Cargo.toml", &["torch.save"]),
    ];
    let start = Instant::now();
    for (name, says) in cases {
        let at = tempfile::tempdir().unwrap();
        let message = match converted(at.path(), &fs::read(golden(name)).unwrap()) {
            Err(Error::Backbone(problem)) => problem.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        for part in says.iter().chain(&["pytorch_model.bin: found ", "expected ", "help: "]) {
            assert!(message.contains(part), "{name}: no {part:?} in {message}");
        }
        assert!(!at.path().join("cache").exists(), "{name}: something was written");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "none takes long");
    assert!(!Path::new("pickle-was-run").exists() && !root().join("pickle-was-run").exists());
}

#[test]
fn no_damage_makes_it_panic() {
    for name in ["zip.bin", "legacy.bin", "system.bin"] {
        let good = fs::read(golden(name)).unwrap();
        let at = tempfile::tempdir().unwrap();
        let mut random = support::Random(9);
        for _ in 0..50 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(4) {
                let place = random.below(bytes.len());
                bytes[place] = random.bits() as u8;
            }
            bytes.truncate(if random.below(4) == 0 { random.below(bytes.len()) } else { bytes.len() });
            let _ = converted(at.path(), &bytes);
        }
    }
}

#[test]
fn a_checkpoint_is_never_converted() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), &fs::read(golden("zip.bin")).unwrap());
    fs::write(at.path().join("mtl_zoo.json"), "{}").unwrap();
    let refused =
        resolve_checkpoint(at.path().to_str().unwrap(), None, &HubOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("no model.safetensors"), "{refused}");
    assert!(CHECKPOINT_FILES.required.contains(&"model.safetensors"));
}
