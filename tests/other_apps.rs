//! A checkpoint in other programs: candle alone, and Python's transformers.

#[path = "../examples/candle_app.rs"]
#[allow(dead_code, reason = "its `main` is not used here")]
mod candle_app;
#[path = "other_apps/multi_task.rs"]
mod multi_task;
mod support;

use indexmap::IndexMap;
use mtl_zoo::checkpoint::{
    BackboneInfo, CheckpointContents, FORMAT, HeadInfo, HeadScores, InputKind, Manifest, TensorData, TrainingInfo,
    Versions, write,
};
use mtl_zoo::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions};
use mtl_zoo::recipe::{CheckpointDtype, Freeze, Pooling, TaskType};
use mtl_zoo::{Answer, Input, MultiTask};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use support::{Random, bundled, root};

fn head(kind: TaskType, labels: &[&str], pooling: Pooling) -> HeadInfo {
    HeadInfo {
        kind,
        input: if kind == TaskType::TokenClassification { InputKind::Words } else { InputKind::Text },
        labels: labels.iter().map(|label| label.to_string()).collect(),
        pooling,
        loss: "any".into(),
        metrics: HeadScores::default(),
    }
}

/// Heads of every kind and pooling, two for pairs.
fn heads() -> IndexMap<String, HeadInfo> {
    let pair = |info: HeadInfo| HeadInfo { input: InputKind::Pair, ..info };
    let heads = [
        ("topic", head(TaskType::Classification, &["a", "b \"quoted\"", "ü"], Pooling::Cls)),
        ("moods", head(TaskType::MultiLabel, &["joy", "fear", "rage", "calm"], Pooling::Mean)),
        ("score", head(TaskType::Regression, &[], Pooling::Max)),
        ("tags", head(TaskType::TokenClassification, &["O", "B-X", "I-X"], Pooling::Mean)),
        ("topic_mean", head(TaskType::Classification, &["yes", "no"], Pooling::Mean)),
        ("follows", pair(head(TaskType::Classification, &["yes", "no"], Pooling::Mean))),
        ("alike", pair(head(TaskType::Regression, &[], Pooling::Cls))),
    ];
    heads.into_iter().map(|(name, head)| (name.to_owned(), head)).collect()
}

/// The bundled backbone with untrained heads, whose numbers are large enough for answers that differ.
fn make(dir: &Path, dtype: CheckpointDtype, max_tokens: usize) {
    let (config, weights) = bundled();
    let heads = heads();
    let options = |head: &HeadInfo| HeadOptions::new(head.kind, head.outputs(), head.pooling);
    let model = JointModel::new(
        BackboneConfig::parse(config.as_bytes()).unwrap(),
        weights,
        heads.iter().map(|(name, head)| (name.clone(), options(head))).collect(),
        &ModelOptions { freeze: Freeze::None, seed: 1, trained_heads: false },
    )
    .unwrap();
    let mut random = Random(21);
    let tensors: Vec<_> = model.tensors().into_iter().collect();
    let values: Vec<Vec<f32>> = tensors
        .iter()
        .map(|(name, tensor)| match name.starts_with("heads.") {
            true => random.numbers(tensor.elem_count()).iter().map(|x| x * 0.2).collect(),
            false => tensor.flatten_all().unwrap().to_vec1().unwrap(),
        })
        .collect();
    let data = tensors.iter().zip(&values).map(|((name, tensor), values)| TensorData {
        name: name.clone(),
        shape: tensor.dims().to_vec(),
        values,
    });
    let manifest = Manifest {
        format: FORMAT.into(),
        backbone: BackboneInfo { id: "bundled".into(), revision: None, family: "bert".into(), sha256: String::new() },
        max_tokens,
        heads,
        balance: json!({"method": "equal"}),
        data: IndexMap::new(),
        training: TrainingInfo { seed: 0, steps: 0, tokens: 0, best_step: 0 },
        versions: Versions { mtl_zoo: "0".into(), candle: "0".into() },
        recipe: Value::Null,
        merged: Vec::new(),
        trunk: None,
        sha256: IndexMap::new(),
    };
    let folder = root().join("zoo/bundled/backbone");
    let file = |name: &str| (name.to_owned(), fs::read(folder.join(name)).unwrap());
    let contents = CheckpointContents {
        manifest,
        tensors: data.collect(),
        dtype,
        config: config.as_bytes(),
        tokenizer_files: ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"]
            .map(file)
            .to_vec(),
    };
    write(dir, contents).unwrap();
}

const TEXTS: [&str; 10] = [
    "What a day!",
    "meh",
    "",
    "   white\tspace \n and\u{a0}more  ",
    "Naïve café, 日本語 and 🦀 — it's 3.14% (or so)…",
    "un\u{200b}seen con\u{7}trol \u{1} characters a\u{b}b",
    "[MASK] and [SEP] in the text, donaudampfschifffahrtsgesellschaft",
    "Great phone. The battery lasts two days and the screen is bright, but the speaker crackles.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l m n o p q r",
    "I want my money back",
];

fn texts() -> Vec<Input> {
    TEXTS.iter().map(|text| Input::Text(text.to_string())).collect()
}

/// As `mtl-zoo predict --format jsonl` prints.
fn line(input: &Input, answers: &IndexMap<String, Answer>) -> Value {
    match input {
        Input::Text(text) => json!({"text": text, "heads": answers}),
        Input::Pair(text, pair) => json!({"text": text, "pair": pair, "heads": answers}),
        Input::Words(tokens) => json!({"tokens": tokens, "heads": answers}),
    }
}

/// Largest difference of two numbers; all else is equal.
fn compare(one: &Value, other: &Value, place: &str) -> f64 {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs(),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).fold(0.0, |max, (a, b)| max.max(compare(a, b, place)))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().fold(0.0, |max, (key, a)| max.max(compare(a, &b[key], &format!("{place}.{key}"))))
        }
        _ => {
            assert_eq!(one, other, "{place}");
            0.0
        }
    }
}

#[test]
fn candle_alone_gives_the_same_answers() {
    for (dtype, max_tokens) in [(CheckpointDtype::F32, 128), (CheckpointDtype::F16, 12), (CheckpointDtype::Bf16, 40)] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), dtype, max_tokens);
        let predictor = MultiTask::load(dir.path()).unwrap();
        let app = candle_app::Model::load(dir.path()).unwrap();
        let mut worst = 0.0f64;
        for (input, answers) in texts().iter().zip(predictor.predict(&texts(), &[]).unwrap()) {
            assert!(answers.keys().eq(["topic", "moods", "score", "tags", "topic_mean"]));
            let Input::Text(text) = input else { unreachable!() };
            worst = worst.max(compare(&line(input, &answers), &app.answer(text).unwrap(), text));
        }
        println!("{dtype:?}: numbers within {worst:.1e}");
        assert!(worst < 1e-4, "{dtype:?}: numbers differ by {worst:e}");
    }
}

#[test]
fn transformers_gives_the_same_answers() {
    let skip = |reason: &str| {
        // Not `println!`, which the test runner hides.
        writeln!(std::io::stderr(), "skipped: the comparison with Python's transformers: {reason}").unwrap();
    };
    let Some(python) = std::env::var_os("MTL_ZOO_PYTHON") else {
        return skip("set MTL_ZOO_PYTHON to a Python that has torch, transformers and safetensors");
    };
    for dtype in [CheckpointDtype::F32, CheckpointDtype::F16] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = dir.path().join("checkpoint");
        make(&checkpoint, dtype, 24);
        let predictor = MultiTask::load(&checkpoint).unwrap();
        let pairs =
            TEXTS.iter().zip(TEXTS.iter().rev()).map(|(one, other)| Input::Pair((*one).into(), (*other).into()));
        let words = TEXTS.iter().map(|text| Input::Words(text.split(' ').map(str::to_owned).collect()));
        let mut lines = String::new();
        for inputs in [texts(), pairs.collect(), words.skip(3).collect()] {
            for (input, answers) in inputs.iter().zip(predictor.predict(&inputs, &[]).unwrap()) {
                lines.push_str(&format!("{}\n", line(input, &answers)));
            }
        }
        let predicted = dir.path().join("predicted.jsonl");
        fs::write(&predicted, &lines).unwrap();
        let run = |file: &Path| {
            let script = root().join("scripts/check_python.py");
            let output = Command::new(&python).arg(script).arg(&checkpoint).arg("--compare").arg(file).output();
            let output = output.unwrap_or_else(|error| panic!("MTL_ZOO_PYTHON: {error}"));
            (output.status.code(), [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()))
        };
        let (code, [out, errors]) = run(&predicted);
        assert_eq!(code, Some(0), "{out}{errors}");
        println!("{dtype:?}: {out}");

        // A number that is off is found.
        let mut wrong: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let score = wrong["heads"]["score"]["score"].as_f64().unwrap();
        wrong["heads"]["score"]["score"] = json!(score + 2e-4);
        fs::write(&predicted, format!("{wrong}\n")).unwrap();
        let (code, [_, errors]) = run(&predicted);
        assert!(code == Some(1) && errors.contains("heads.score.score"), "{errors}");
    }
}
