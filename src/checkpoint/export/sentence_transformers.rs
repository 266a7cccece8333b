//! The encoder with its pooling as Python's `sentence-transformers` opens it: the state that the heads read, without heads.
//!
//! Pooling `pooler` is the first token, then a dense module with tanh.

use super::folder::{Folder, json_file, torch_name};
use super::source::{Source, pooling_name};
use super::{ExportFormat, ExportOptions, Exported};
use crate::checkpoint::{CONFIG_FILE, MODEL_FILE};
use crate::error::{Problem, Result};
use crate::recipe::{Pooling, TaskType};
use serde_json::json;

const POOLING: &str = "1_Pooling";
const DENSE: &str = "2_Dense";

pub(super) fn make(source: &Source<'_>, options: &ExportOptions) -> Result<Folder> {
    let pooling = pooling(source, options)?;
    if pooling == Pooling::Pooler && !source.has_pooler() {
        let help = "choose another with --pooling";
        let problem =
            Problem::new("pooling \"pooler\", but the backbone has none", "\"mean\", \"cls\" or \"max\"", help);
        return Err(problem.key("--pooling").argument());
    }
    let (hidden, max_tokens) = (source.config.hidden(), source.checkpoint.manifest.max_tokens);
    let class = source.classes().encoder;
    let mut config = source.config_json()?.own();
    config.set("architectures", json!([class]));
    config.set("torch_dtype", torch_name(source.dtype));

    let mut transformer = json!({"max_seq_length": max_tokens, "do_lower_case": false});
    if !source.has_pooler() {
        // Else Python makes a random one, which nothing reads, and says so at length.
        transformer["model_args"] = json!({"add_pooling_layer": false});
    }

    let module = |index: usize, path: &str, class: &str| json!({"idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{class}")});
    let mut modules = vec![module(0, "", "Transformer"), module(1, POOLING, "Pooling")];
    let mut files = vec![
        (CONFIG_FILE.to_owned(), config.bytes()),
        (format!("{POOLING}/config.json"), json_file(&pooling_config(pooling, hidden))),
        ("sentence_bert_config.json".into(), json_file(&transformer)),
        (
            "config_sentence_transformers.json".into(),
            json_file(
                &json!({"__version__": {}, "prompts": {}, "default_prompt_name": null, "similarity_fn_name": "cosine"}),
            ),
        ),
    ];
    let mut tensors = vec![(MODEL_FILE.to_owned(), source.encoder("", source.has_pooler())?)];
    if pooling == Pooling::Pooler {
        modules.push(module(2, DENSE, "Dense"));
        let dense = json!({
            "in_features": hidden,
            "out_features": hidden,
            "bias": true,
            "activation_function": "torch.nn.modules.activation.Tanh",
        });
        files.push((format!("{DENSE}/config.json"), json_file(&dense)));
        tensors.push((format!("{DENSE}/{MODEL_FILE}"), source.pooler("linear")?));
    }
    files.push(("modules.json".into(), json_file(&modules)));
    let mut notes = source.notes();
    notes.push("heads are left out: sentence-transformers gives the states that they read".into());
    Ok(Folder {
        exported: Exported {
            format: ExportFormat::SentenceTransformers,
            head: None,
            pooling: Some(pooling),
            class: "SentenceTransformer".into(),
            remote_code: false,
            dtype: source.dtype,
            max_tokens,
            files: Vec::new(),
            notes,
        },
        files,
        tensors,
    })
}

/// As asked for; else as the head that is asked for; else as all heads that pool do.
fn pooling(source: &Source<'_>, options: &ExportOptions) -> Result<Pooling> {
    let both = "give --pooling alone, or --head alone";
    match (options.pooling, options.head.as_deref()) {
        (Some(_), Some(_)) => {
            Err(Problem::new("both --head and --pooling", "one of them", both).key("--pooling").argument())
        }
        (Some(pooling), None) => Ok(pooling),
        (None, Some(name)) => match source.head(Some(name))? {
            (_, head) if head.kind != TaskType::TokenClassification => Ok(head.pooling),
            _ => {
                let found = format!("the head `{name}`, which reads every token and pools nothing");
                let help = "give --pooling mean, cls, max or pooler instead";
                Err(Problem::new(found, "a head that pools", help).key("--head").argument())
            }
        },
        (None, None) => common(source),
    }
}

fn common(source: &Source<'_>) -> Result<Pooling> {
    let heads = source.checkpoint.manifest.heads.iter();
    let heads: Vec<_> = heads.filter(|(_, head)| head.kind != TaskType::TokenClassification).collect();
    let Some((_, first)) = heads.first() else {
        let help = "give --pooling; \"mean\" is usual";
        let found = "heads that tag words only, which pool nothing";
        return Err(Problem::new(found, "a pooling", help).key("--pooling").argument());
    };
    if heads.iter().all(|(_, head)| head.pooling == first.pooling) {
        return Ok(first.pooling);
    }
    let each: Vec<_> = heads.iter().map(|(name, head)| format!("`{name}` {}", pooling_name(head.pooling))).collect();
    let help = "choose with --pooling, or name a head whose pooling to take with --head";
    let found = format!("heads with several poolings: {}", each.join(", "));
    Err(Problem::new(found, "one pooling", help).key("--pooling").argument())
}

/// Every mode is named, since a mode that is left out is on in some versions.
fn pooling_config(pooling: Pooling, hidden: usize) -> serde_json::Value {
    let first = matches!(pooling, Pooling::Cls | Pooling::Pooler);
    json!({
        "word_embedding_dimension": hidden,
        "pooling_mode_cls_token": first,
        "pooling_mode_mean_tokens": pooling == Pooling::Mean,
        "pooling_mode_max_tokens": pooling == Pooling::Max,
        "pooling_mode_mean_sqrt_len_tokens": false,
        "pooling_mode_weightedmean_tokens": false,
        "pooling_mode_lasttoken": false,
        "include_prompt": true,
    })
}
