//! What `mtl-zoo export` writes, and what it refuses. Python opens it in `scripts/check_export.py`.

use candle_core::{DType, Device, IndexOp, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use indexmap::IndexMap;
use mtl_zoo::checkpoint::{
    BackboneInfo, CheckpointContents, CheckpointFolder, ExportFormat, ExportOptions, Exported, FORMAT, HeadInfo,
    HeadScores, InputKind, Manifest, StoredDtype, TensorData, TensorFile, TrainingInfo, Versions, export, write,
};
use mtl_zoo::model::BackboneConfig;
use mtl_zoo::recipe::{CheckpointDtype, Pooling, TaskType};
use mtl_zoo::{Answer, Error, Input, MultiTask, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::{Random, root};

mod support;

const CONFIG: &str = r#"{"architectures": ["BertForMaskedLM"], "_name_or_path": "/home/someone/model", "model_type": "bert",
    "auto_map": {"AutoModel": "elsewhere.Code"}, "id2label": {"0": "old"}, "num_labels": 7, "hidden_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 8960, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "max_position_embeddings": 32, "type_vocab_size": 2, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "pad_token_id": 0}"#;
const MAX_TOKENS: usize = 20;

fn head(kind: TaskType, labels: &[&str], pooling: Pooling) -> HeadInfo {
    HeadInfo {
        kind,
        input: if kind == TaskType::TokenClassification { InputKind::Words } else { InputKind::Text },
        labels: labels.iter().map(|label| label.to_string()).collect(),
        pooling,
        loss: "any".into(),
        metrics: HeadScores { validation: [("accuracy".to_owned(), Some(0.5))].into(), ..HeadScores::default() },
    }
}

fn heads() -> Vec<(&'static str, HeadInfo)> {
    vec![
        ("topic", head(TaskType::Classification, &["a", "b \"quoted\"", "ü"], Pooling::Mean)),
        ("moods", head(TaskType::MultiLabel, &["joy", "fear"], Pooling::Pooler)),
        ("score", head(TaskType::Regression, &[], Pooling::Cls)),
        ("most", head(TaskType::Regression, &[], Pooling::Max)),
        ("tags", head(TaskType::TokenClassification, &["O", "B-X", "I-X"], Pooling::Mean)),
    ]
}

/// A random BERT with a pooler, under the names of the oldest files, with these heads.
fn checkpoint(dir: &Path, heads: Vec<(&str, HeadInfo)>, tokenizer_config: Option<&str>) -> CheckpointFolder {
    let config = BackboneConfig::parse(CONFIG.as_bytes()).unwrap();
    let mut random = Random(5);
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for spec in config.parameters(true) {
        let norm = spec.name.contains("LayerNorm");
        let scale = if norm { 0.1 } else { 0.3 };
        let shift = if norm && spec.name.ends_with("weight") { 1.0 } else { 0.0 };
        let stored = match (norm, spec.name.rsplit_once('.').unwrap()) {
            (true, (norm, "weight")) => format!("bert.{norm}.gamma"),
            (true, (norm, _)) => format!("bert.{norm}.beta"),
            _ => format!("bert.{}", spec.name),
        };
        let values = random.numbers(spec.shape.iter().product()).iter().map(|x| x * scale + shift).collect();
        tensors.push((stored, spec.shape, values));
    }
    tensors.push(("cls.predictions.bias".into(), vec![3], vec![0.0; 3]));
    for (name, head) in &heads {
        let outputs = head.outputs();
        tensors.push((format!("heads.{name}.weight"), vec![outputs, 16], random.numbers(outputs * 16)));
        tensors.push((format!("heads.{name}.bias"), vec![outputs], random.numbers(outputs)));
    }
    let manifest = Manifest {
        format: FORMAT.into(),
        backbone: BackboneInfo {
            id: "/home/someone/base".into(),
            revision: None,
            family: "bert".into(),
            sha256: String::new(),
        },
        max_tokens: MAX_TOKENS,
        heads: heads.into_iter().map(|(name, head)| (name.to_owned(), head)).collect(),
        balance: Value::Null,
        data: IndexMap::new(),
        training: TrainingInfo { seed: 0, steps: 0, tokens: 0, best_step: 0 },
        versions: Versions { mtl_zoo: "0".into(), candle: "0".into() },
        recipe: Value::Null,
        merged: Vec::new(),
        trunk: None,
        sha256: IndexMap::new(),
    };
    let tokenizer = fs::read(root().join("zoo/bundled/backbone/tokenizer.json")).unwrap();
    let mut tokenizer_files = vec![("tokenizer.json".to_owned(), tokenizer)];
    tokenizer_files.extend(tokenizer_config.map(|text| ("tokenizer_config.json".to_owned(), text.as_bytes().to_vec())));
    let data =
        |(name, shape, values): &'_ (String, Vec<usize>, Vec<f32>)| (name.clone(), shape.clone(), values.clone());
    let tensors: Vec<_> = tensors.iter().map(data).collect();
    let contents = CheckpointContents {
        manifest,
        tensors: tensors
            .iter()
            .map(|(name, shape, values)| TensorData { name: name.clone(), shape: shape.clone(), values })
            .collect(),
        dtype: CheckpointDtype::F32,
        config: CONFIG.as_bytes(),
        tokenizer_files,
    };
    write(dir, contents).unwrap();
    CheckpointFolder::open(dir).unwrap()
}

/// A checkpoint with heads of every kind, and a place for exports.
struct Lab {
    folder: tempfile::TempDir,
    checkpoint: CheckpointFolder,
}

impl Lab {
    fn new() -> Self {
        Self::with(heads())
    }

    fn with(heads: Vec<(&str, HeadInfo)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(&folder.path().join("checkpoint"), heads, None);
        Self { folder, checkpoint }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, out: &str, options: ExportOptions) -> Result<Exported> {
        export(&self.checkpoint, self.path(out), &options)
    }

    fn head(&self, head: &str) -> (PathBuf, Exported) {
        let exported = self.export(head, transformers(head)).unwrap();
        (self.path(head), exported)
    }
}

fn transformers(head: &str) -> ExportOptions {
    ExportOptions { head: Some(head.into()), ..ExportOptions::new(ExportFormat::Transformers) }
}

fn sentences(pooling: Option<Pooling>) -> ExportOptions {
    ExportOptions { pooling, ..ExportOptions::new(ExportFormat::SentenceTransformers) }
}

fn json_of(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn refusal(result: Result<Exported>) -> String {
    match result {
        Err(Error::Argument(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_head_becomes_the_class_that_computes_it() {
    let lab = Lab::new();
    let own = "MtlZooBertForSequenceClassification";
    for (head, class, model_type, problem_type, labels) in [
        (
            "topic",
            own,
            "mtl_zoo_bert",
            json!("single_label_classification"),
            json!({"0": "a", "1": "b \"quoted\"", "2": "ü"}),
        ),
        (
            "moods",
            "BertForSequenceClassification",
            "bert",
            json!("multi_label_classification"),
            json!({"0": "joy", "1": "fear"}),
        ),
        ("score", "BertForSequenceClassification", "bert", json!("regression"), json!({"0": "score"})),
        ("most", own, "mtl_zoo_bert", json!("regression"), json!({"0": "most"})),
        ("tags", "BertForTokenClassification", "bert", Value::Null, json!({"0": "O", "1": "B-X", "2": "I-X"})),
    ] {
        let (out, exported) = lab.head(head);
        let config = json_of(out.join("config.json"));
        assert_eq!(config["architectures"], json!([class]), "{head}");
        assert_eq!((exported.class.as_str(), exported.remote_code), (class, class == own), "{head}");
        assert_eq!((&config["model_type"], &config["problem_type"]), (&json!(model_type), &problem_type), "{head}");
        assert_eq!(config["id2label"], labels, "{head}");
        for (id, label) in labels.as_object().unwrap() {
            assert_eq!(config["label2id"][label.as_str().unwrap()].to_string(), *id, "{head}");
        }
        assert_eq!(config["torch_dtype"], "float32");
        assert_eq!((config["hidden_size"].as_u64(), config["layer_norm_eps"].as_f64()), (Some(16), Some(1e-12)));
        let own_code = config.get("auto_map").is_some();
        assert_eq!(config.get("tokenizer_class").is_some(), own_code, "{head}: for pipelines of transformers 4");
        assert!(own_code == (class == own) && out.join("modeling_mtl_zoo.py").exists() == own_code, "{head}");
        assert!(config.get("num_labels").is_none() && config.get("_name_or_path").is_none(), "{head}: {config}");
        let mut files: Vec<_> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, exported.files);
    }
}

#[test]
fn tensors_have_the_names_and_shapes_of_the_class() {
    let lab = Lab::new();
    let config = BackboneConfig::parse(CONFIG.as_bytes()).unwrap();
    for (head, outputs, pooler) in
        [("topic", 3, false), ("moods", 2, true), ("score", 1, true), ("most", 1, false), ("tags", 3, false)]
    {
        let tensors = TensorFile::open(lab.head(head).0.join("model.safetensors")).unwrap();
        let mut expected: Vec<_> =
            config.parameters(pooler).into_iter().map(|spec| (format!("bert.{}", spec.name), spec.shape)).collect();
        expected.push(("classifier.weight".into(), vec![outputs, 16]));
        expected.push(("classifier.bias".into(), vec![outputs]));
        expected.sort();
        let found: Vec<_> = tensors.iter().map(|tensor| (tensor.name.to_owned(), tensor.shape.to_vec())).collect();
        assert_eq!(found, expected, "{head}");
        assert_eq!(tensors.metadata().get("format").map(String::as_str), Some("pt"));
        let stored = |name: &str| lab.checkpoint.tensors.get(name).unwrap().to_f32().unwrap();
        let ours = |name: &str| tensors.get(name).unwrap().to_f32().unwrap();
        assert_eq!(ours("bert.embeddings.LayerNorm.weight"), stored("bert.embeddings.LayerNorm.gamma"));
        assert_eq!(ours("classifier.bias"), stored(&format!("heads.{head}.bias")));
    }
}

/// As `BertForSequenceClassification` computes: pooler with tanh on the first token, then the classifier.
fn as_standard_class(folder: &Path, ids: &[u32], outputs: usize) -> Vec<f32> {
    let config: Config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let bert = BertModel::load(vb.pp("bert"), &config).unwrap();
    let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let hidden = bert.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
    let first = hidden.i((.., 0)).unwrap().contiguous().unwrap();
    let pooler = candle_nn::linear(16, 16, vb.pp("bert.pooler.dense")).unwrap();
    let pooled = pooler.forward(&first).unwrap().tanh().unwrap();
    let classifier = candle_nn::linear(16, outputs, vb.pp("classifier")).unwrap();
    classifier.forward(&pooled).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn candle_alone_gives_the_answers_of_the_standard_classes() {
    let lab = Lab::new();
    let predictor = MultiTask::load(lab.path("checkpoint")).unwrap();
    for text in ["what a day", "meh", "a b c d e f g h i j k l m n o p q r s t u v w x y z"] {
        let input = [Input::Text(text.into())];
        let answers = predictor.predict(&input, &["score", "moods"]).unwrap().remove(0);
        let encoded = predictor.tokenizer().encode(&[&input[0]], MAX_TOKENS).unwrap().remove(0);
        let (Answer::Score { score }, Answer::Labels { probabilities, .. }) = (&answers["score"], &answers["moods"])
        else {
            panic!("{answers:?}")
        };
        let found = as_standard_class(&lab.head("score").0, &encoded.ids, 1)[0];
        assert!((found - score).abs() < 1e-5, "{text}: {found}, expected {score}");
        let logits = as_standard_class(&lab.head("moods").0, &encoded.ids, 2);
        for (logit, (label, p)) in logits.iter().zip(probabilities) {
            assert!((1.0 / (1.0 + (-logit).exp()) - p).abs() < 1e-5, "{text}: {label}");
        }
    }
}

#[test]
fn a_first_token_survives_every_number_format() {
    let lab = Lab::new();
    let predictor = MultiTask::load(lab.path("checkpoint")).unwrap();
    let input = Input::Text("what a day".into());
    let encoded = predictor.tokenizer().encode(&[&input], MAX_TOKENS).unwrap().remove(0);
    let Answer::Score { score } = predictor.predict(&[input], &["score"]).unwrap()[0]["score"] else { panic!() };
    for (dtype, stored, torch, limit) in [
        (CheckpointDtype::F32, StoredDtype::F32, "float32", 1e-5),
        (CheckpointDtype::F16, StoredDtype::F16, "float16", 2e-2),
        (CheckpointDtype::Bf16, StoredDtype::Bf16, "bfloat16", 2e-1),
    ] {
        let options = ExportOptions { dtype: Some(dtype), ..transformers("score") };
        assert_eq!(lab.export("out", options).unwrap().dtype, dtype);
        let tensors = TensorFile::open(lab.path("out/model.safetensors")).unwrap();
        assert!(tensors.iter().all(|tensor| tensor.dtype == stored));
        assert_eq!(json_of(lab.path("out/config.json"))["torch_dtype"], torch);
        let found = as_standard_class(&lab.path("out"), &encoded.ids, 1)[0];
        assert!((found - score).abs() < limit, "{dtype:?}: {found}, expected {score}");
    }
}

#[test]
fn tokenizer_settings_are_made_or_completed() {
    let lab = Lab::new();
    let made = json_of(lab.head("topic").0.join("tokenizer_config.json"));
    let expected = json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": true, "strip_accents": null, "tokenize_chinese_chars": true,
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
        "model_max_length": MAX_TOKENS,
    });
    assert_eq!(made, expected);
    let tokenizer = |folder: &str| fs::read(lab.path(folder).join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer("topic"), tokenizer("checkpoint"));

    let folder = tempfile::tempdir().unwrap();
    let settings = r#"{"do_lower_case": false, "model_max_length": 512, "name_or_path": "/home/someone", "extra": 1}"#;
    let checkpoint = checkpoint(&folder.path().join("in"), heads(), Some(settings));
    export(&checkpoint, folder.path().join("out"), &transformers("topic")).unwrap();
    let kept = json_of(folder.path().join("out/tokenizer_config.json"));
    assert_eq!((&kept["do_lower_case"], &kept["extra"]), (&json!(false), &json!(1)));
    assert_eq!((&kept["model_max_length"], kept.get("name_or_path")), (&json!(MAX_TOKENS), None));
}

#[test]
fn sentence_transformers_get_the_encoder_and_a_pooling() {
    let lab = Lab::new();
    for (pooling, mode) in [(Pooling::Mean, "mean_tokens"), (Pooling::Cls, "cls_token"), (Pooling::Max, "max_tokens")] {
        let exported = lab.export("encoder", sentences(Some(pooling))).unwrap();
        assert_eq!((exported.head, exported.pooling), (None, Some(pooling)));
        let config = json_of(lab.path("encoder/1_Pooling/config.json"));
        let on: Vec<_> = config.as_object().unwrap().iter().filter(|(_, value)| **value == true).collect();
        assert_eq!(on, [(&format!("pooling_mode_{mode}"), &json!(true)), (&"include_prompt".to_owned(), &json!(true))]);
        assert_eq!(config["word_embedding_dimension"], 16);
        assert_eq!(json_of(lab.path("encoder/sentence_bert_config.json"))["max_seq_length"], MAX_TOKENS);
        assert_eq!(json_of(lab.path("encoder/modules.json")).as_array().unwrap().len(), 2);
        assert_eq!(json_of(lab.path("encoder/config.json"))["architectures"], json!(["BertModel"]));
        assert!(json_of(lab.path("encoder/config.json")).get("id2label").is_none());
    }
    let tensors = TensorFile::open(lab.path("encoder/model.safetensors")).unwrap();
    let expected: Vec<_> =
        BackboneConfig::parse(CONFIG.as_bytes()).unwrap().parameters(true).into_iter().map(|spec| spec.name).collect();
    assert!(expected.iter().all(|name| tensors.get(name).is_some()) && tensors.len() == expected.len());

    // The pooler is a module of its own.
    lab.export("encoder", sentences(Some(Pooling::Pooler))).unwrap();
    let modules = json_of(lab.path("encoder/modules.json"));
    assert_eq!(modules[2]["type"], "sentence_transformers.models.Dense");
    let dense = TensorFile::open(lab.path("encoder/2_Dense/model.safetensors")).unwrap();
    let pooler = lab.checkpoint.tensors.get("bert.pooler.dense.weight").unwrap();
    assert_eq!(dense.get("linear.weight").unwrap().to_f32().unwrap(), pooler.to_f32().unwrap());
    // What belonged to the former export is gone with it.
    lab.export("encoder", sentences(Some(Pooling::Mean))).unwrap();
    assert!(!lab.path("encoder/2_Dense").exists());
    assert_eq!(
        lab.export("encoder", ExportOptions { head: Some("most".into()), ..sentences(None) }).unwrap().pooling,
        Some(Pooling::Max)
    );
}

#[test]
fn one_head_or_one_pooling_need_not_be_named() {
    let lab = Lab::with(vec![("score", head(TaskType::Regression, &[], Pooling::Max))]);
    let exported = lab.export("one", ExportOptions::new(ExportFormat::Transformers)).unwrap();
    assert_eq!(exported.head.as_deref(), Some("score"));
    assert_eq!(lab.export("two", sentences(None)).unwrap().pooling, Some(Pooling::Max));
}

#[test]
fn what_is_left_open_or_wrong_is_refused() {
    let lab = Lab::new();
    let plain = ExportOptions::new(ExportFormat::Transformers);
    let without = refusal(lab.export("out", plain.clone()));
    assert!(without.contains("5 heads: `topic`, `moods`, `score`, `most`, `tags`"), "{without}");
    let unknown = refusal(lab.export("out", transformers("topics")));
    assert!(unknown.contains("`topics`") && unknown.contains("`topic`, `moods`"), "{unknown}");
    let pooled = refusal(lab.export("out", ExportOptions { pooling: Some(Pooling::Cls), ..transformers("topic") }));
    assert!(pooled.contains("`--pooling`: found pooling \"cls\""), "{pooled}");
    let several = refusal(lab.export("out", sentences(None)));
    assert!(several.contains("`topic` mean, `moods` pooler, `score` cls, `most` max"), "{several}");
    let tags = refusal(lab.export("out", ExportOptions { head: Some("tags".into()), ..sentences(None) }));
    assert!(tags.contains("the head `tags`, which reads every token"), "{tags}");
    let both = ExportOptions { head: Some("topic".into()), ..sentences(Some(Pooling::Cls)) };
    assert!(refusal(lab.export("out", both)).contains("both --head and --pooling"));
    let only_tags = Lab::with(vec![("tags", head(TaskType::TokenClassification, &["O"], Pooling::Mean))]);
    assert!(refusal(only_tags.export("out", sentences(None))).contains("give --pooling"));
    assert!(!lab.path("out").exists(), "nothing was written");
}

#[test]
fn only_an_older_export_is_replaced() {
    let lab = Lab::new();
    for (name, what) in [("checkpoint", "a folder with other files"), ("file", "a file"), ("other", "other files")] {
        fs::write(lab.path("file"), "").unwrap();
        fs::create_dir_all(lab.path("other/inner")).unwrap();
        let refused = refusal(lab.export(name, transformers("topic")));
        assert!(refused.contains(what) && refused.contains("an empty one or an export"), "{refused}");
    }
    CheckpointFolder::open(lab.path("checkpoint")).unwrap();

    lab.export("out", transformers("topic")).unwrap();
    fs::write(lab.path("out/mine.txt"), "kept").unwrap();
    lab.export("out", transformers("tags")).unwrap();
    assert_eq!(fs::read_to_string(lab.path("out/mine.txt")).unwrap(), "kept");
    assert!(!lab.path("out/modeling_mtl_zoo.py").exists(), "it belonged to the other head");
    assert_eq!(json_of(lab.path("out/mtl_zoo_export.json"))["head"], "tags");
    let rest: Vec<_> = fs::read_dir(lab.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(rest.len(), 4, "{rest:?}");
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes_and_a_card() {
    let lab = Lab::new();
    lab.export("one", transformers("topic")).unwrap();
    let exported = lab.export("two", transformers("topic")).unwrap();
    for file in &exported.files {
        assert_eq!(
            fs::read(lab.path("one").join(file)).unwrap(),
            fs::read(lab.path("two").join(file)).unwrap(),
            "{file}"
        );
    }
    let card = fs::read_to_string(lab.path("one/README.md")).unwrap();
    for part in [
        "library_name: \"transformers\"",
        "fine-tuned from `base`",
        "trust_remote_code=True",
        "| accuracy | 0.5000 |",
        "cut at 20 tokens",
    ] {
        assert!(card.contains(part), "no {part:?} in\n{card}");
    }
    for file in exported.files.iter().filter(|file| file.as_str() != "model.safetensors") {
        let text = fs::read_to_string(lab.path("one").join(file)).unwrap();
        assert!(!text.contains("/home/someone"), "{file}: a path is nobody's business");
    }
}

#[test]
fn weights_that_f16_cannot_hold_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(&folder.path().join("in"), heads(), None);
    let mut found = export(
        &checkpoint,
        folder.path().join("out"),
        &ExportOptions { dtype: Some(CheckpointDtype::F16), ..transformers("score") },
    );
    assert!(found.is_ok(), "{found:?}");
    // A classifier a hundred times as large does not fit beside a pooler that hands the first token through.
    let bytes = fs::read(folder.path().join("in/model.safetensors")).unwrap();
    let tensors = TensorFile::from_bytes("model.safetensors", bytes).unwrap();
    let values: Vec<_> = tensors
        .iter()
        .map(|tensor| (tensor.name.to_owned(), tensor.shape.to_vec(), tensor.to_f32().unwrap()))
        .collect();
    let larger = |name: &str, values: &[f32]| -> Vec<f32> {
        let scale = if name == "heads.score.weight" { 100.0 } else { 1.0 };
        values.iter().map(|x| x * scale).collect()
    };
    let values: Vec<_> =
        values.into_iter().map(|(name, shape, values)| (larger(&name, &values), name, shape)).collect();
    let contents = CheckpointContents {
        manifest: checkpoint.manifest.clone(),
        tensors: values
            .iter()
            .map(|(values, name, shape)| TensorData { name: name.clone(), shape: shape.clone(), values })
            .collect(),
        dtype: CheckpointDtype::F32,
        config: CONFIG.as_bytes(),
        tokenizer_files: vec![("tokenizer.json".into(), checkpoint.tokenizer.clone())],
    };
    write(folder.path().join("large"), contents).unwrap();
    let large = CheckpointFolder::open(folder.path().join("large")).unwrap();
    let options = ExportOptions { dtype: Some(CheckpointDtype::F16), ..transformers("score") };
    found = export(&large, folder.path().join("out2"), &options);
    let message = found.unwrap_err().to_string();
    assert!(message.contains("classifier.weight") && message.contains("65504"), "{message}");
    assert!(!folder.path().join("out2").exists());
}
