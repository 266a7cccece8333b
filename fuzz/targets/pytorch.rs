//! Any bytes are weights of PyTorch's, or a refusal that says what to do; what is converted is safetensors.
//!
//! The input is a `pytorch_model.bin`. After a line `pickle` it is the pickle in one, with two storages of numbers: an archive has
//! checksums, which no damage would get past.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mtl_zoo::Error;
use mtl_zoo::checkpoint::TensorFile;
use mtl_zoo::hub::pytorch::{PYTORCH_FILE, convert_in};
use mtl_zoo::hub::{BACKBONE_FILES, CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE};
use std::fs;
use std::io::{Cursor, Write};
use std::sync::LazyLock;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// In memory where the system has such a place. Libfuzzer never drops it: `scripts/fuzz.sh` gives it a folder to clear.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for one model");
    for name in [CONFIG_FILE, TOKENIZER_FILE] {
        fs::write(folder.path().join(name), "{}").expect("a temporary file can be written");
    }
    folder
});

fuzz_target!(|data: &[u8]| {
    let weights = data.strip_prefix(b"pickle\n").map_or_else(|| data.to_vec(), archive);
    let (model, cache) = (FOLDER.path(), FOLDER.path().join("cache"));
    fs::write(model.join(PYTORCH_FILE), weights).expect("a temporary file can be written");
    match convert_in(model, &BACKBONE_FILES, &cache) {
        Ok(converted) => {
            TensorFile::open(converted.folder.join(MODEL_FILE)).expect("what is converted can be opened");
            fs::remove_dir_all(&cache).expect("the cache can be cleared");
        }
        Err(error) => {
            assert!(matches!(error, Error::Backbone(_)) && error.to_string().contains("\n  help: "), "{error}");
            // Nothing is left of what is refused.
            assert!(fs::read_dir(&cache).map_or(0, Iterator::count) == 0, "{error}");
        }
    }
});

fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let numbers: Vec<u8> = (0..96).collect();
    for (name, bytes) in [("data.pkl", pickle), ("data/0", &numbers), ("data/1", &numbers[..24]), ("version", b"3\n")] {
        zip.start_file(format!("archive/{name}"), stored).expect("a name");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}
