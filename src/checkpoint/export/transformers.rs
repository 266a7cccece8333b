//! Backbone and one head as Python's `transformers` opens them.
//!
//! Its sequence classes read the first token through a dense layer and tanh. A head with pooling `pooler` is just that. A
//! head with pooling `cls` is made that: the dense layer shrinks the state by a power of two, so far that tanh of it is
//! the number itself, and the classifier's weights are larger by the same power. A mean or maximum over tokens has no
//! standard class; such a folder brings a class of its own.

use super::folder::{Folder, NamedTensor, torch_name};
use super::source::{Source, pooling_name};
use super::{ExportFormat, ExportOptions, Exported};
use crate::checkpoint::{CONFIG_FILE, HeadInfo, MODEL_FILE, StoredTensor};
use crate::error::{Problem, Result};
use crate::recipe::{CheckpointDtype, Pooling, TaskType};
use serde_json::{Value, json};

/// The class for means and maxima, for every folder that needs it the same.
const MODELING: &str = include_str!("modeling_mtl_zoo.py");
const MODELING_FILE: &str = "modeling_mtl_zoo.py";

/// How a head becomes a class.
enum Route {
    /// A classifier on every token.
    Token,
    /// A classifier on the backbone's pooler.
    Pooler,
    /// A classifier on a pooler that hands the first token through.
    FirstToken,
    /// The folder's own class.
    Own,
}

pub(super) fn make(source: &Source<'_>, options: &ExportOptions) -> Result<Folder> {
    if let Some(pooling) = options.pooling {
        let help = "leave --pooling out; it is for `--format sentence-transformers`";
        let found = format!("pooling {:?}", pooling_name(pooling));
        return Err(Problem::new(found, "the pooling that the head was trained with", help)
            .key("--pooling")
            .argument());
    }
    let (name, head) = source.head(options.head.as_deref())?;
    let route = match (head.kind, head.pooling) {
        (TaskType::TokenClassification, _) => Route::Token,
        (_, Pooling::Pooler) => Route::Pooler,
        (_, Pooling::Cls) => Route::FirstToken,
        (_, Pooling::Mean | Pooling::Max) => Route::Own,
    };
    let classes = source.classes();
    let class = match route {
        Route::Token => classes.token.to_owned(),
        Route::Pooler | Route::FirstToken => classes.sequence.to_owned(),
        Route::Own => format!("MtlZoo{}", classes.sequence),
    };
    let mut files = vec![(CONFIG_FILE.to_owned(), config(source, name, head, &class, &route)?)];
    if matches!(route, Route::Own) {
        files.push((MODELING_FILE.to_owned(), MODELING.into()));
    }
    let mut notes = source.notes();
    match route {
        Route::Own => notes.push(format!(
            "transformers has no class with {} pooling: the folder brings its own, and Python opens it with \
             trust_remote_code=True",
            pooling_name(head.pooling)
        )),
        Route::FirstToken => notes.push(
            "the head reads the first token as it is, so the pooler only hands it through: the answers are the same, but \
             training on from this folder is not; train on from the checkpoint"
                .into(),
        ),
        Route::Token | Route::Pooler => {}
    }
    Ok(Folder {
        exported: Exported {
            format: ExportFormat::Transformers,
            head: Some(name.to_owned()),
            pooling: (head.kind != TaskType::TokenClassification).then_some(head.pooling),
            class,
            remote_code: matches!(route, Route::Own),
            dtype: source.dtype,
            max_tokens: source.checkpoint.manifest.max_tokens,
            files: Vec::new(),
            notes,
        },
        files,
        tensors: vec![(MODEL_FILE.to_owned(), tensors(source, name, &route)?)],
    })
}

fn tensors(source: &Source<'_>, name: &str, route: &Route) -> Result<Vec<NamedTensor>> {
    let (prefix, hidden) = (source.classes().prefix, source.config.hidden());
    let (weight, bias) = source.checkpoint.head(name)?;
    let stored = |part: &str, tensor: StoredTensor<'_>| -> Result<NamedTensor> {
        let name = format!("classifier.{part}");
        Ok(NamedTensor { name, shape: tensor.shape.to_vec(), values: tensor.to_f32()? })
    };
    let (mut weight, bias) = (stored("weight", weight)?, stored("bias", bias)?);
    let mut all = source.encoder(prefix, matches!(route, Route::Pooler))?;
    if matches!(route, Route::FirstToken) {
        let shrink = shrink(source.dtype);
        let mut diagonal = vec![0.0; hidden * hidden];
        diagonal.iter_mut().step_by(hidden + 1).for_each(|x| *x = shrink);
        weight.values.iter_mut().for_each(|x| *x /= shrink);
        let pooler =
            |part: &str, shape, values| NamedTensor { name: format!("{prefix}pooler.dense.{part}"), shape, values };
        all.push(pooler("weight", vec![hidden, hidden], diagonal));
        all.push(pooler("bias", vec![hidden], vec![0.0; hidden]));
    }
    all.extend([weight, bias]);
    Ok(all)
}

/// A power of two that scales without rounding. tanh(x) is x - x³/3: with states up to 30 this loses less than 1e-5 of
/// 30 in f32. f16 cannot hold larger classifiers and smaller states than with 2⁻¹², which costs less than its rounding.
fn shrink(dtype: CheckpointDtype) -> f32 {
    match dtype {
        CheckpointDtype::F32 | CheckpointDtype::Bf16 => 1.0 / 65536.0,
        CheckpointDtype::F16 => 1.0 / 4096.0,
    }
}

fn config(source: &Source<'_>, name: &str, head: &HeadInfo, class: &str, route: &Route) -> Result<Vec<u8>> {
    let mut config = source.config_json()?.own();
    config.set("architectures", json!([class]));
    if matches!(route, Route::Own) {
        // With the family's own model_type, Python would open its standard class with a random pooler.
        let module = MODELING_FILE.trim_end_matches(".py");
        config.set("model_type", format!("mtl_zoo_{}", source.config.family()));
        config.set(
            "auto_map",
            json!({
                "AutoConfig": format!("{module}.MtlZooBertConfig"),
                "AutoModelForSequenceClassification": format!("{module}.{class}"),
            }),
        );
        // A pipeline of transformers 4 loads a tokenizer for model types that it knows, or where one is named; the class
        // itself is that of tokenizer_config.json.
        config.set("tokenizer_class", "PreTrainedTokenizerFast");
        config.set("mtl_zoo_pooling", pooling_name(head.pooling));
    }
    // A number has no label; the head's name says more than LABEL_0.
    let labels = if head.kind == TaskType::Regression { vec![name.to_owned()] } else { head.labels.clone() };
    let numbered = labels.iter().enumerate();
    let id2label: serde_json::Map<String, Value> =
        numbered.clone().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let label2id: serde_json::Map<String, Value> = numbered.map(|(id, label)| (label.clone(), json!(id))).collect();
    config.set("id2label", id2label);
    config.set("label2id", label2id);
    match head.kind {
        TaskType::Classification => config.set("problem_type", "single_label_classification"),
        TaskType::MultiLabel => config.set("problem_type", "multi_label_classification"),
        TaskType::Regression => config.set("problem_type", "regression"),
        TaskType::TokenClassification => {}
    }
    config.set("torch_dtype", torch_name(source.dtype));
    Ok(config.bytes())
}
