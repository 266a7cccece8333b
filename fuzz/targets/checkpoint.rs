//! Any bytes are what their file should be, or a refusal that says what to do.
//!
//! Without a separator the input is a `model.safetensors` and a manifest. Four parts between lines of `====` are
//! `mtl_zoo.json`, `config.json`, `tokenizer.json` and `model.safetensors` of a checkpoint; its hashes are put right
//! first, or no damage would get past them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mtl_zoo::checkpoint::{CONFIG_FILE, CheckpointFolder, MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};
use mtl_zoo::checkpoint::{Manifest, TensorFile};
use mtl_zoo::files::sha256_hex;
use mtl_zoo::{Error, Input, MultiTask, Result};
use safetensors::SafeTensors;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

const SEPARATOR: &[u8] = b"\n====\n";

/// In memory where the system has such a place. Libfuzzer never drops it: `scripts/fuzz.sh` gives it a folder to clear.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder for one checkpoint"));

fuzz_target!(|data: &[u8]| {
    if let Some((manifest, rest)) = split(data)
        && let Some((config, rest)) = split(rest)
        && let Some((tokenizer, model)) = split(rest)
    {
        return folder(manifest, config, tokenizer, model);
    }
    tensors(data);
    if let Some(manifest) = refused(Manifest::from_json("mtl_zoo.json", data)) {
        assert_eq!(Manifest::from_json("mtl_zoo.json", &manifest.to_json()).expect("written by this crate"), manifest);
    }
});

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)?;
    Some((&data[..at], &data[at + SEPARATOR.len()..]))
}

/// What is accepted is also a file to the `safetensors` crate, with the same tensors.
fn tensors(bytes: &[u8]) {
    let Some(file) = refused(TensorFile::from_bytes("model.safetensors", bytes.to_vec())) else { return };
    let reference = SafeTensors::deserialize(bytes).expect("safetensors accepts what is accepted here");
    assert_eq!(file.len(), reference.len());
    for tensor in file.iter() {
        let other = reference.tensor(tensor.name).expect("the same names");
        assert_eq!((tensor.shape, tensor.data), (other.shape(), other.data()));
        assert_eq!(tensor.to_f32().is_ok(), tensor.is_float());
    }
}

fn folder(manifest: &[u8], config: &[u8], tokenizer: &[u8], model: &[u8]) {
    let files = [(CONFIG_FILE, config), (TOKENIZER_FILE, tokenizer), (MODEL_FILE, model)];
    let dir = FOLDER.path();
    for (name, bytes) in files {
        write(&dir.join(name), bytes);
    }
    write(&dir.join(MANIFEST_FILE), &with_hashes(manifest, &files));
    let Some(opened) = refused(CheckpointFolder::open(dir)) else { return };
    let kinds: Vec<_> = opened.manifest.heads.values().map(|head| head.input).collect();
    for task in opened.manifest.heads.keys() {
        let (weight, bias) = opened.head(task).expect("every head has its tensors");
        assert_eq!(weight.shape, [bias.shape[0], opened.hidden]);
    }
    let Some(predictor) = refused(MultiTask::load(dir)) else { return };
    for input in [Input::Text("a b".into()), Input::Pair("a".into(), "b a".into())] {
        if let Some(answers) = refused(predictor.predict(std::slice::from_ref(&input), &[])) {
            assert!(answers.len() == 1 && !answers[0].is_empty() && answers[0].len() <= kinds.len());
        }
    }
}

fn with_hashes(manifest: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(manifest) else { return manifest.to_vec() };
    if let Some(hashes) = json.get_mut("sha256").and_then(|hashes| hashes.as_object_mut()) {
        for (name, bytes) in files {
            if let Some(hash) = hashes.get_mut(*name) {
                *hash = sha256_hex(bytes).into();
            }
        }
        return serde_json::to_vec(&json).expect("JSON that was read");
    }
    manifest.to_vec()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a temporary file can be written");
}

fn refused<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error: Error| assert!(error.to_string().contains("\n  help: "), "{error}")).ok()
}
