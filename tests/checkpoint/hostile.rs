//! Checkpoints that lie, each with the fault and the message that refuse it.

use super::sample::write_sample;
use mtl_zoo::checkpoint::CheckpointFolder;
use mtl_zoo::files::sha256_hex;
use mtl_zoo::{Error, Fault};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

type Lie = Box<dyn Fn(&Path)>;

/// Splits a safetensors file into its JSON and its data.
fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (String::from_utf8(bytes[8..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

fn join(json: &str, data: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat()
}

/// Changes the model's bytes.
fn model(change: impl Fn(&mut Vec<u8>) + 'static) -> Lie {
    Box::new(move |dir| {
        let path = dir.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    })
}

/// Changes the model's header.
fn header(change: impl Fn(&mut Value) + 'static) -> Lie {
    model(move |bytes| {
        let (json, data) = split(bytes);
        let mut json: Value = serde_json::from_str(&json).unwrap();
        change(&mut json);
        *bytes = join(&json.to_string(), &data);
    })
}

/// Changes the model's header as text.
fn header_text(from: &'static str, to: &'static str) -> Lie {
    model(move |bytes| {
        let (json, data) = split(bytes);
        assert!(json.contains(from), "{json}");
        *bytes = join(&json.replacen(from, to, 1), &data);
    })
}

/// Sets a value of the model's header.
fn entry(pointer: &'static str, value: Value) -> Lie {
    header(move |json| *json.pointer_mut(pointer).unwrap() = value.clone())
}

/// Sets or removes a value of the manifest.
fn manifest(parent: &'static str, key: &'static str, value: Option<Value>) -> Lie {
    Box::new(move |dir| {
        let path = dir.join("mtl_zoo.json");
        let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let object = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match &value {
            Some(value) => object.insert(key.into(), value.clone()),
            None => object.shift_remove(key),
        };
        fs::write(path, json.to_string()).unwrap();
    })
}

/// Replaces a file and its hash, so that only the contents can be wrong.
fn rehashed(file: &'static str, contents: &'static str) -> Lie {
    Box::new(move |dir| {
        fs::write(dir.join(file), contents).unwrap();
        manifest("/sha256", file, Some(json!(sha256_hex(contents.as_bytes()))))(dir);
    })
}

fn file(name: &'static str, contents: &'static str) -> Lie {
    Box::new(move |dir| fs::write(dir.join(name), contents).unwrap())
}

fn removed(name: &'static str) -> Lie {
    Box::new(move |dir| fs::remove_file(dir.join(name)).unwrap())
}

/// Renames a head in the manifest.
fn task_name(name: &'static str) -> Lie {
    Box::new(move |dir| {
        let json = fs::read_to_string(dir.join("mtl_zoo.json")).unwrap();
        let renamed = json.replacen("\"topic\"", &json!(name).to_string(), 1);
        fs::write(dir.join("mtl_zoo.json"), renamed).unwrap();
    })
}

fn file_name(name: &'static str) -> Lie {
    manifest("/sha256", name, Some(json!("0".repeat(64))))
}

#[test]
fn each_lie_is_refused_with_its_fault() {
    use Fault::*;
    const HEADER_TENSOR: &str = r#"{"dtype":"F32","shape":[3],"data_offsets":[0,12]}"#;
    let cases: Vec<(&str, Lie, Fault, &[&str])> = vec![
        // Files
        ("no manifest", removed("mtl_zoo.json"), MissingFile, &["mtl_zoo.json", "no checkpoint of mtl-zoo"]),
        ("no model", removed("model.safetensors"), MissingFile, &["model.safetensors", "incomplete"]),
        ("no config", removed("config.json"), MissingFile, &["config.json"]),
        ("no tokenizer", removed("tokenizer.json"), MissingFile, &["tokenizer.json"]),
        ("no vocabulary", removed("vocab.txt"), MissingFile, &["vocab.txt"]),
        ("other config", file("config.json", "{}"), Hash, &["config.json", "SHA-256"]),
        ("other tokenizer", file("tokenizer.json", "{}"), Hash, &["tokenizer.json"]),
        ("other vocabulary", file("vocab.txt", "[UNK]"), Hash, &["vocab.txt"]),
        ("one bit of a weight", model(|bytes| *bytes.last_mut().unwrap() ^= 1), Hash, &["model.safetensors"]),
        // The frame of the model
        ("empty model", model(Vec::clear), Length, &["0 bytes"]),
        ("half a length", model(|bytes| bytes.truncate(5)), Length, &["5 bytes"]),
        ("length only", model(|bytes| bytes.truncate(8)), Length, &["8 bytes"]),
        ("half a header", model(|bytes| bytes.truncate(100)), Length, &["100 bytes"]),
        ("last byte gone", model(|bytes| bytes.truncate(bytes.len() - 1)), Length, &["as the header says"]),
        ("bytes after the end", model(|bytes| bytes.push(0)), Length, &["as the header says"]),
        ("huge header", model(|bytes| bytes[..8].fill(0xff)), Header, &["18446744073709551615"]),
        (
            "header of 2 GB",
            model(|bytes| bytes[..8].copy_from_slice(&(1u64 << 31).to_le_bytes())),
            Header,
            &["at most"],
        ),
        ("empty header", model(|bytes| bytes[..8].fill(0)), Header, &["JSON object"]),
        ("no JSON", model(|bytes| bytes[9..20].fill(0x80)), Header, &["model.safetensors"]),
        ("JSON list", model(|bytes| *bytes = join("[1]", &[])), Header, &["JSON object"]),
        ("no tensors", model(|bytes| *bytes = join("{}", &[])), Header, &["no tensor"]),
        ("deep JSON", model(|bytes| *bytes = join(&"{\"a\":".repeat(50_000), &[])), Header, &["safetensors header"]),
        ("zip archive", model(|bytes| *bytes = b"PK\x03\x04 and so on".to_vec()), Header, &["at most"]),
        // The header's tensors
        ("overlap", header(swap_to_overlap), Overlap, &["belong to"]),
        ("hole", header(|json| shift(json, 4)), Overlap, &["no tensor"]),
        ("huge offsets", entry("/heads.mood.bias/data_offsets", json!([0, u64::MAX])), Header, &["heads.mood.bias"]),
        ("reversed offsets", entry("/heads.mood.bias/data_offsets", json!([12, 4])), Header, &["12 to 4"]),
        ("negative offset", entry("/heads.mood.bias/data_offsets", json!([-8, 0])), Header, &["heads.mood.bias", "-8"]),
        ("three offsets", entry("/heads.mood.bias/data_offsets", json!([0, 8, 8])), Header, &["heads.mood.bias"]),
        ("shape and bytes", entry("/heads.mood.bias/shape", json!([3])), Header, &["12 bytes for [3] of F32"]),
        (
            "shape overflow",
            entry("/heads.mood.bias/shape", json!([1u64 << 40, 1u64 << 40])),
            Value,
            &["fits into memory"],
        ),
        ("absurd size", header(absurd), Length, &["as the header says"]),
        ("many dimensions", entry("/heads.mood.bias/shape", json!(vec![1; 999])), Value, &["999 dimensions"]),
        ("fractional shape", entry("/heads.mood.bias/shape", json!([2.5])), Header, &["heads.mood.bias", "2.5"]),
        ("unknown dtype", entry("/heads.mood.bias/dtype", json!("F33")), Dtype, &["heads.mood.bias", "F33"]),
        ("dtype of a head", header(retype), Dtype, &["heads.mood.bias", "I32"]),
        ("no dtype", header_text(r#""dtype":"F32","#, ""), Header, &["dtype"]),
        (
            "name twice",
            model(|bytes| {
                *bytes = join(&format!("{{\"a\":{HEADER_TENSOR},\"a\":{HEADER_TENSOR}}}"), &[0; 12]);
            }),
            Header,
            &["`a`", "twice"],
        ),
        ("metadata of numbers", entry("/__metadata__", json!({"format": 1})), Header, &["__metadata__"]),
        ("tensor ../x", header_text("encoder.layer.0", "../x"), Path, &["../x"]),
        ("absolute tensor", header_text("encoder.layer.0", "/etc/x"), Path, &["/etc/x"]),
        ("NUL in a name", header_text("encoder.layer.0", "a\\u0000b"), Path, &["control"]),
        ("nameless tensor", header_text("encoder.layer.0.attention.self.query.bias", ""), Path, &["0 bytes"]),
        // Manifest and tensors
        ("missing tensor", header_text("heads.tags.bias", "bert.tags.bias"), MissingTensor, &["heads.tags.bias"]),
        ("head of nobody", header_text("encoder.layer.0", "heads.evil"), Value, &["evil"]),
        ("wrong shape", manifest("/heads/topic", "labels", Some(json!(["a", "b"]))), Shape, &["[3, 8]", "2 outputs"]),
        ("other width", rehashed("config.json", r#"{"hidden_size": 16}"#), Shape, &["[3, 8]", "16 hidden", "topic"]),
        ("no width", rehashed("config.json", "{}"), Json, &["hidden_size"]),
        ("absurd width", rehashed("config.json", r#"{"hidden_size": 1e3}"#), Json, &["hidden_size"]),
        ("huge width", rehashed("config.json", r#"{"hidden_size": 99999999999}"#), Value, &["hidden_size"]),
        ("config no JSON", rehashed("config.json", "hidden_size = 8"), Json, &["config.json:1"]),
        // The manifest
        ("newer major", manifest("", "format", Some(json!("2.0"))), Version, &["2.0", "install a newer"]),
        ("strange version", manifest("", "format", Some(json!("one"))), Value, &["one"]),
        ("signed version", manifest("", "format", Some(json!("+1.0"))), Value, &["+1.0"]),
        ("version as number", manifest("", "format", Some(json!(1.0))), Json, &["mtl_zoo.json"]),
        ("no version", manifest("", "format", None), Json, &["format"]),
        ("manifest no JSON", file("mtl_zoo.json", "heads = 1"), Json, &["mtl_zoo.json:1"]),
        ("empty manifest", file("mtl_zoo.json", ""), Json, &["mtl_zoo.json"]),
        ("heads as list", manifest("", "heads", Some(json!([]))), Json, &["mtl_zoo.json"]),
        ("no heads", manifest("", "heads", Some(json!({}))), Value, &["0 heads"]),
        ("head twice", task_name("mood"), Json, &["mood", "twice"]),
        ("unknown type", manifest("/heads/topic", "type", Some(json!("poetry"))), Json, &["poetry"]),
        ("labels as number", manifest("/heads/topic", "labels", Some(json!(3))), Json, &["mtl_zoo.json"]),
        (
            "one class",
            manifest("/heads/topic", "labels", Some(json!(["a"]))),
            Value,
            &["heads.topic.labels", "1 labels"],
        ),
        ("label twice", manifest("/heads/topic", "labels", Some(json!(["a", "b", "a"]))), Value, &["\"a\" twice"]),
        ("labels of a number", manifest("/heads/score", "labels", Some(json!(["a"]))), Value, &["none for regression"]),
        (
            "words for a text head",
            manifest("/heads/topic", "input", Some(json!("words"))),
            Value,
            &["heads.topic.input"],
        ),
        ("negative tokens", manifest("", "max_tokens", Some(json!(-1))), Json, &["-1"]),
        ("no tokens", manifest("", "max_tokens", Some(json!(0))), Value, &["max_tokens"]),
        ("endless input", manifest("", "max_tokens", Some(json!(1u64 << 40))), Value, &["max_tokens"]),
        ("task ../x", task_name("../x"), Path, &["../x"]),
        ("absolute task", task_name("/tmp/x"), Path, &["/tmp/x"]),
        ("task with dots", task_name("a.b"), Path, &["a.b"]),
        ("NUL in a task", task_name("a\0b"), Path, &["a\\0b"]),
        ("nameless task", task_name(""), Path, &["task name \"\""]),
        ("file ../x", file_name("../x"), Path, &["../x"]),
        ("absolute file", file_name("/etc/passwd"), Path, &["/etc/passwd"]),
        ("backslashes", file_name("..\\x"), Path, &["sha256"]),
        ("drive", file_name("c:x"), Path, &["c:x"]),
        ("parent folder", file_name(".."), Path, &["\"..\""]),
        ("NUL in a file", file_name("a\0b"), Path, &["a\\0b"]),
        ("no hash of the model", manifest("/sha256", "model.safetensors", None), Value, &["model.safetensors"]),
        ("no hashes", manifest("", "sha256", None), Value, &["no hash of model.safetensors"]),
        ("hash of 3 digits", manifest("/sha256", "vocab.txt", Some(json!("abc"))), Value, &["sha256.vocab.txt"]),
    ];
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("checkpoint");
    let mut failures = Vec::new();
    for (name, lie, expected, fragments) in &cases {
        write_sample(&dir, 1);
        lie(&dir);
        let error = CheckpointFolder::open(&dir).expect_err(name);
        let message = error.to_string();
        let fault = if let Error::Checkpoint { fault, .. } = error { Some(fault) } else { None };
        let has = |fragment: &&str| message.contains(*fragment);
        let complete = fragments.iter().chain(&["found ", "expected ", "help: "]).all(has);
        if fault != Some(*expected) || !complete || message.len() > 1000 || !has(&dir.to_str().unwrap()) {
            failures.push(format!("{name}: {fault:?}, expected {expected:?} and {fragments:?} in\n{message}"));
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn offsets(json: &mut Value) -> Vec<&mut Vec<Value>> {
    let tensors = json.as_object_mut().unwrap().iter_mut().filter(|(name, _)| *name != "__metadata__");
    tensors.map(|(_, tensor)| tensor["data_offsets"].as_array_mut().unwrap()).collect()
}

/// The last tensor takes its bytes from the one before it.
fn swap_to_overlap(json: &mut Value) {
    for pair in offsets(json).last_mut().unwrap().iter_mut() {
        *pair = json!(pair.as_u64().unwrap() - 4);
    }
}

/// All tensors move towards the end.
fn shift(json: &mut Value, by: u64) {
    offsets(json).into_iter().flatten().for_each(|offset| *offset = json!(offset.as_u64().unwrap() + by));
}

/// The last tensor claims terabytes, and its shape agrees.
fn absurd(json: &mut Value) {
    let (_, last) = json.as_object_mut().unwrap().iter_mut().last().unwrap();
    let start = last["data_offsets"][0].as_u64().unwrap();
    last["shape"] = json!([1u64 << 42]);
    last["data_offsets"] = json!([start, start + (1u64 << 44)]);
}

fn retype(json: &mut Value) {
    json["heads.mood.bias"]["dtype"] = json!("I32");
}
