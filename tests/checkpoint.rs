//! The checkpoint format: what is written is read back, replaced whole or not at all, and refused when it lies.

#[path = "checkpoint/hostile.rs"]
mod hostile;
#[path = "checkpoint/mutations.rs"]
mod mutations;
#[path = "checkpoint/sample.rs"]
mod sample;

use half::{bf16, f16};
use mtl_zoo::checkpoint::{
    CheckpointFolder, StoredDtype, TensorData, TensorFile, check_target, write, write_folder, write_tensors,
};
use mtl_zoo::files::{hash_file, write_file};
use mtl_zoo::recipe::CheckpointDtype;
use mtl_zoo::{Error, Fault};
use sample::{CONFIG, TOKENIZER, contents, tensors, write_sample};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file of a folder, subfolders not included.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.filter(|entry| entry.path().is_file()).map(read).collect()
}

#[test]
fn round_trip_in_each_dtype() {
    let tensors = tensors(1);
    for (dtype, stored) in [
        (CheckpointDtype::F32, StoredDtype::F32),
        (CheckpointDtype::F16, StoredDtype::F16),
        (CheckpointDtype::Bf16, StoredDtype::Bf16),
    ] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new/checkpoint");
        let manifest = write(&dir, contents(&tensors, dtype)).unwrap();
        let opened = CheckpointFolder::open(&dir).unwrap();
        assert_eq!(opened.manifest, manifest);
        assert_eq!((opened.hidden, opened.config.as_slice(), opened.tokenizer.as_slice()), (8, CONFIG, TOKENIZER));
        assert_eq!(opened.tensors.len(), tensors.len());
        assert_eq!(opened.tensors.metadata()["format"], "pt");
        assert_eq!(opened.backbone_tensors().count(), 3);
        for (name, shape, values) in &tensors {
            let tensor = opened.tensors.require(name).unwrap();
            assert_eq!((tensor.dtype, tensor.shape), (stored, shape.as_slice()));
            let rounded = values.iter().map(|v| match dtype {
                CheckpointDtype::F32 => *v,
                CheckpointDtype::F16 => f16::from_f32(*v).to_f32(),
                CheckpointDtype::Bf16 => bf16::from_f32(*v).to_f32(),
            });
            assert_eq!(tensor.to_f32().unwrap(), rounded.collect::<Vec<_>>(), "{name}");
        }
        let (weight, bias) = opened.head("topic").unwrap();
        assert_eq!((weight.shape, bias.shape), ([3, 8].as_slice(), [3].as_slice()));
        assert!(opened.head("other").is_err());
        let names: Vec<_> = files(&dir).into_keys().collect();
        let expected = ["README.md", "config.json", "model.safetensors", "mtl_zoo.json", "tokenizer.json", "vocab.txt"];
        assert_eq!(names, expected);
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1, "no temporary folder is left");
    }
}

#[test]
fn same_contents_give_same_bytes_in_any_order() {
    let root = tempfile::tempdir().unwrap();
    let (forward, mut reversed) = (tensors(1), tensors(1));
    reversed.reverse();
    for dtype in [CheckpointDtype::F32, CheckpointDtype::F16, CheckpointDtype::Bf16] {
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        write(&a, contents(&forward, dtype)).unwrap();
        let mut contents = contents(&reversed, dtype);
        contents.tokenizer_files.reverse();
        write(&b, contents).unwrap();
        assert_eq!(files(&a), files(&b));
    }
}

#[test]
fn many_values_and_odd_shapes() {
    let many: Vec<f32> = (0..200_003).map(|i| (i % 4099) as f32 - 2000.0).collect();
    let tensors = [
        TensorData { name: "many".into(), shape: vec![200_003], values: &many },
        TensorData { name: "empty".into(), shape: vec![0, 4], values: &[] },
        TensorData { name: "scalar".into(), shape: vec![], values: &[0.5] },
    ];
    for (dtype, tolerance) in [(CheckpointDtype::F32, 0.0), (CheckpointDtype::F16, 1.0), (CheckpointDtype::Bf16, 8.0)] {
        let mut bytes = Vec::new();
        write_tensors(&mut bytes, Path::new("x"), &tensors, dtype, &[]).unwrap();
        safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let file = TensorFile::from_bytes("x", bytes).unwrap();
        let read = file.require("many").unwrap().to_f32().unwrap();
        assert!(read.iter().zip(&many).all(|(a, b)| (a - b).abs() <= tolerance), "{dtype:?}");
        assert_eq!(file.require("empty").unwrap().to_f32().unwrap(), Vec::<f32>::new());
        assert_eq!(file.require("scalar").unwrap().to_f32().unwrap(), [0.5]);
    }
}

#[test]
fn values_that_cannot_be_stored_are_named() {
    let cases = [
        (CheckpointDtype::F16, 70_000.0, "value 70000 at position 9000"),
        (CheckpointDtype::Bf16, f32::MAX, "at position 9000"),
        (CheckpointDtype::F32, f32::NAN, "value NaN at position 9000"),
        (CheckpointDtype::F32, f32::NEG_INFINITY, "value -inf at position 9000"),
    ];
    for (dtype, value, fragment) in cases {
        let mut values = vec![1.0; 9001];
        values[9000] = value;
        let tensor = TensorData { name: "w".into(), shape: vec![9001], values: &values };
        let error = write_tensors(&mut Vec::new(), Path::new("m.safetensors"), &[tensor], dtype, &[]).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Checkpoint { fault: Fault::Value, .. }), "{message}");
        assert!(message.contains(fragment) && message.contains("`w`") && message.contains("help: "), "{message}");
    }
}

#[test]
fn a_failure_in_the_middle_leaves_the_old_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("checkpoint");
    write_sample(&dir, 1);
    let before = files(&dir);
    let mut overflowing = tensors(2);
    *overflowing[0].2.last_mut().unwrap() = 1e6;
    let error = write(&dir, contents(&overflowing, CheckpointDtype::F16)).unwrap_err().to_string();
    assert!(error.contains("checkpoint/model.safetensors: `heads.topic.weight`"), "{error}");
    assert_eq!(files(&dir), before);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left behind");

    let mut missing = tensors(2);
    missing.remove(1);
    write(&dir, contents(&missing, CheckpointDtype::F32)).unwrap_err();
    let mut shaped = tensors(2);
    shaped[0].1 = vec![8, 3];
    write(&dir, contents(&shaped, CheckpointDtype::F32)).unwrap_err();
    for name in ["../evil", "config.json", "tokenizer.json", ".hidden", "a/b", ""] {
        let tensors = tensors(2);
        let mut contents = contents(&tensors, CheckpointDtype::F32);
        contents.tokenizer_files.push((name.into(), Vec::new()));
        let error = write(&dir, contents).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { fault: Fault::Path, .. }), "{name}: {error}");
    }
    assert_eq!(files(&dir), before);
}

#[test]
fn an_older_checkpoint_is_replaced_and_other_files_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("checkpoint");
    write_sample(&dir, 1);
    let old = hash_file(dir.join("model.safetensors")).unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    fs::write(dir.join("merges.txt"), "of the old tokenizer").unwrap();
    fs::create_dir(dir.join("figures")).unwrap();
    fs::write(dir.join("figures/a.svg"), "<svg/>").unwrap();
    let manifest = write_sample(&dir, 2);
    assert_ne!(manifest.sha256["model.safetensors"], old);
    CheckpointFolder::open(&dir).unwrap();
    assert_eq!(fs::read_to_string(dir.join("notes.txt")).unwrap(), "mine");
    assert!(dir.join("figures/a.svg").is_file() && !dir.join("merges.txt").exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn other_folders_are_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let (full, file) = (root.path().join("full"), root.path().join("file"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.tex"), "years of work").unwrap();
    fs::write(&file, "x").unwrap();
    for (dir, found) in [(&full, "a folder with other files"), (&file, "a file")] {
        let error = write(dir, contents(&tensors(1), CheckpointDtype::F32)).unwrap_err();
        assert!(matches!(&error, Error::Argument(problem) if problem.found() == found), "{error}");
        assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    }
    assert!(full.join("thesis.tex").is_file());
    fs::create_dir(root.path().join("empty")).unwrap();
    write_sample(&root.path().join("empty"), 1);
    assert!(check_target(root.path().join("not/there")).is_ok());
    let error = write(file.join("below"), contents(&tensors(1), CheckpointDtype::F32)).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(&file)), "{error}");
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.json");
    write_file(&path, |out| {
        out.write_all(b"old").unwrap();
        Ok(())
    })
    .unwrap();
    let failed = || Error::Io { path: path.clone(), action: "write", source: std::io::ErrorKind::StorageFull.into() };
    let result: Result<(), _> = write_file(&path, |out| {
        out.write_all(&vec![b'x'; 1 << 21]).unwrap();
        Err(failed())
    });
    assert!(result.unwrap_err().to_string().contains("state.json: cannot write"));
    let result: Result<(), _> = write_folder(root.path().join("dir"), |folder| {
        fs::write(folder.join("half"), "x").unwrap();
        Err(failed())
    });
    result.unwrap_err();
    assert_eq!(files(root.path()), BTreeMap::from([("state.json".to_owned(), b"old".to_vec())]));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_followed() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, dir) = (root.path().join("blobs"), root.path().join("snapshot"));
    write_sample(&blobs, 1);
    fs::create_dir(&dir).unwrap();
    for name in files(&blobs).keys() {
        std::os::unix::fs::symlink(blobs.join(name), dir.join(name)).unwrap();
    }
    CheckpointFolder::open(&dir).unwrap();
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&blobs, &link).unwrap();
    let manifest = write_sample(&link, 2);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(CheckpointFolder::open(&blobs).unwrap().manifest, manifest);
}

#[test]
fn the_card_tells_what_the_model_is() {
    let root = tempfile::tempdir().unwrap();
    write_sample(root.path(), 1);
    let card = fs::read_to_string(root.path().join("README.md")).unwrap();
    assert!(card.starts_with("---\nlicense: \"apache-2.0\"\nlanguage: [\"en\"]\nbase_model: \"org/tiny\"\n"), "{card}");
    for fragment in [
        "library_name: \"candle\"\n",
        "datasets: [\"org/topics\"]\n",
        "{\"name\":\"topic\",\"type\":\"org/topics\",\"split\":\"test\"}",
        "MultiTask::load(\".\")",
        "## What sharing did\n\nNot measured.",
        "\"type\":\"pearsonr\",\"name\":\"pearson\",\"value\":0.25",
        "| topic | classification | a, b\\|c, d | macro_f1 | 0.5000 | 0.2500 |",
        "hidden.i((.., 0))?",
        "add_pooling_layer=False",
        "A `bert` encoder with 4 heads",
        "100 steps and 5000 tokens with seed 3, balancing `equal`",
        "| topic | train | 100 | `",
    ] {
        assert!(card.contains(fragment), "{fragment}\n{card}");
    }
    assert_eq!(card.matches("\n---\n").count(), 1);
}
