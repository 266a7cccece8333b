//! The Hub model card, written from the manifest.

use super::{CONFIG_FILE, HeadInfo, MANIFEST_FILE, MODEL_FILE, Manifest, Scores};
use crate::recipe::{Pooling, TaskType};
use serde_json::json;
use std::fmt::Write;

/// What a model card says beyond the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardOptions {
    /// Title; a title from the task names if absent.
    pub title: Option<String>,
    /// SPDX name of the licence in lower case, as the Hub writes it. Left out if unknown.
    pub license: Option<String>,
    /// Language codes such as "en".
    pub languages: Vec<String>,
    /// Hub id of the model that the backbone comes from; the manifest's backbone if that is a Hub id.
    pub base_model: Option<String>,
}

/// Writes the model card: YAML header with `model-index`, heads and scores, three ways to load it, data, limits.
pub fn model_card(manifest: &Manifest, options: &CardOptions) -> String {
    let tasks: Vec<&str> = manifest.heads.keys().map(String::as_str).collect();
    let title = match (&options.title, tasks.len()) {
        (Some(title), _) => title.clone(),
        (None, 1..=4) => format!("One encoder for {}", tasks.join(", ")),
        (None, count) => format!("One encoder for {count} tasks"),
    };
    let mut card = String::from("---\n");
    header(&mut card, manifest, options, &title);
    let _ = body(&mut card, manifest, options, &title);
    card
}

/// The YAML header. Strings are written as JSON, which is YAML too, so that no name can break out.
fn header(card: &mut String, manifest: &Manifest, options: &CardOptions, title: &str) {
    let mut line = |key: &str, value: serde_json::Value| {
        let _ = writeln!(card, "{key}: {value}");
    };
    if let Some(license) = &options.license {
        line("license", json!(license));
    }
    if !options.languages.is_empty() {
        line("language", json!(options.languages));
    }
    if let Some(base) = base_model(manifest, options) {
        line("base_model", json!(base));
    }
    line("library_name", json!("candle"));
    line("pipeline_tag", json!(pipeline_tag(manifest.heads.values().map(|head| head.kind))));
    line("tags", json!(["mtl-zoo", "candle", "multi-task-learning", manifest.backbone.family, "safetensors"]));
    line("model-index", json!([{"name": title, "results": results(manifest)}]));
    card.push_str("---\n\n");
}

fn results(manifest: &Manifest) -> Vec<serde_json::Value> {
    let mut results = Vec::new();
    for (task, head) in &manifest.heads {
        let (split, scores) = match &head.metrics {
            scores if !scores.test.is_empty() => ("test", &scores.test),
            scores => ("validation", &scores.validation),
        };
        let metrics: Vec<_> = scores
            .iter()
            .filter_map(|(metric, value)| Some((metric, value.filter(|v| v.is_finite())?)))
            .map(|(metric, v)| json!({"type": hub_metric(metric), "name": metric, "value": (v * 1e6).round() / 1e6}))
            .collect();
        if !metrics.is_empty() {
            let task_type = pipeline_tag([head.kind]);
            let dataset = json!({"name": task, "type": task, "split": split});
            results.push(json!({"task": {"type": task_type, "name": task}, "dataset": dataset, "metrics": metrics}));
        }
    }
    results
}

fn body(card: &mut String, manifest: &Manifest, options: &CardOptions, title: &str) -> std::fmt::Result {
    let Manifest { backbone, heads, training, versions, max_tokens, .. } = manifest;
    // Of a local folder only the name: the path is nobody's business.
    let base = base_model(manifest, options).unwrap_or(backbone.id.rsplit(['/', '\\']).next().unwrap_or_default());
    let revision = backbone.revision.as_ref().map_or(String::new(), |r| format!(" at revision `{r}`"));
    let methods = manifest.balance.get("method").and_then(|m| m.as_str()).map(|m| format!(", balancing `{m}`"));
    let (count, noun) = (heads.len(), if heads.len() == 1 { "head" } else { "heads" });
    writeln!(card, "# {title}\n")?;
    writeln!(card, "A `{}` encoder with {count} {noun}: one forward pass answers all of them.", backbone.family)?;
    let made = format!("from `{base}`{revision} with mtl-zoo {} on candle {}", versions.mtl_zoo, versions.candle);
    if manifest.merged.is_empty() {
        writeln!(
            card,
            "It was fine-tuned jointly {made}.\n\
             Training took {} steps and {} tokens with seed {}{}.\n\
             These are the weights of step {}, the best on the validation scores.\n",
            training.steps,
            training.tokens,
            training.seed,
            methods.unwrap_or_default(),
            training.best_step,
        )?;
    } else {
        let runs = manifest.merged.len();
        writeln!(card, "The heads come from {runs} runs over the same backbone, {made}.\n")?;
    }
    if manifest.trunk.is_some() {
        writeln!(
            card,
            "The backbone is not in this repository: `mtl-zoo merge` puts the heads on it. Its hash is in `{MANIFEST_FILE}`.\n"
        )?;
    }
    writeln!(card, "## Heads\n\n| Head | Type | Labels | Metric | Validation | Test |\n|---|---|---|---|---:|---:|")?;
    for (task, head) in heads {
        let HeadInfo { metrics, .. } = head;
        let names =
            metrics.validation.keys().chain(metrics.test.keys().filter(|k| !metrics.validation.contains_key(*k)));
        let mut first = format!("{task} | {} | {}", type_name(head.kind), labels(head));
        let names: Vec<&String> = names.collect();
        if names.is_empty() {
            writeln!(card, "| {first} | | | |")?;
        }
        for name in names {
            let (validation, test) = (score(&metrics.validation, name), score(&metrics.test, name));
            writeln!(card, "| {first} | {name} | {validation} | {test} |")?;
            first = " | | ".into();
        }
    }
    writeln!(card, "\n## How to load it\n\nWith this crate's program:\n")?;
    writeln!(card, "```sh\ncargo install mtl-zoo\nmtl-zoo predict . \"some text\"\n```\n")?;
    if let Some((task, head)) = heads.first() {
        loading(card, task, head)?;
    }
    writeln!(card, "## Data\n\n| Task | Split | Rows | SHA-256 |\n|---|---|---:|---|")?;
    for (task, splits) in &manifest.data {
        for (split, info) in splits {
            let short: String = info.sha256.chars().take(16).collect();
            writeln!(card, "| {} | {} | {} | `{}…` |", cell(task), cell(split), info.rows, cell(&short))?;
        }
    }
    writeln!(
        card,
        "\nFull fingerprints, label order and the recipe are in `{MANIFEST_FILE}`.\n\n## Limits\n\n\
         Inputs are cut at {max_tokens} tokens. The scores hold for the splits above; on other text, other languages or\n\
         other label distributions measure again. Validation scores chose the weights and are therefore a little too\n\
         good. Biases of the pretrained encoder and of the data remain."
    )
}

/// Two programs that open the folder without this crate, for the first head.
fn loading(card: &mut String, task: &str, head: &HeadInfo) -> std::fmt::Result {
    let per_token = head.kind == TaskType::TokenClassification;
    let (rust, python) = match head.pooling {
        _ if per_token => ("hidden", "out.last_hidden_state"),
        Pooling::Cls => ("hidden.i((.., 0))?", "out.last_hidden_state[:, 0]"),
        Pooling::Mean => ("hidden.mean(1)?", "out.last_hidden_state.mean(1)"),
        Pooling::Max => ("hidden.max(1)?", "out.last_hidden_state.max(1).values"),
        Pooling::Pooler => (
            "candle_nn::linear(config.hidden_size, config.hidden_size, vb.pp(\"pooler.dense\"))?\n    \
             .forward(&hidden.i((.., 0))?.contiguous()?)?.tanh()?",
            "out.pooler_output",
        ),
    };
    let pooler = if head.pooling == Pooling::Pooler && !per_token { "" } else { ", add_pooling_layer=False" };
    let outputs = head.outputs();
    writeln!(
        card,
        r#"With `candle-transformers` alone, here for the head `{task}` and one text (`ids` and `type_ids` from `tokenizers`, `[1, tokens]`):

```rust
use candle_core::{{DType, IndexOp, Module}};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{{BertModel, Config}};

let config: Config = serde_json::from_slice(&std::fs::read("{CONFIG_FILE}")?)?;
let tensors = candle_core::safetensors::load("{MODEL_FILE}", &device)?;
let vb = VarBuilder::from_tensors(tensors, DType::F32, &device);
let bert = BertModel::load(vb.clone(), &config)?;
let hidden = bert.forward(&ids, &type_ids, None)?;
let state = {rust};
let head = candle_nn::linear(config.hidden_size, {outputs}, vb.pp("heads.{task}"))?;
let output = head.forward(&state)?;
```

With Python's `transformers`, again for one text (in a padded batch, leave padding out of mean and max):

```python
import safetensors.torch, torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModel.from_pretrained("."{pooler}).float().eval()
heads = safetensors.torch.load_file("{MODEL_FILE}")
with torch.no_grad():
    out = model(**tokenizer("some text", return_tensors="pt"))
    state = {python}
    output = state @ heads["heads.{task}.weight"].float().T + heads["heads.{task}.bias"].float()
```

{meaning}
"#,
        meaning = match head.kind {
            TaskType::Classification => "Softmax over the output gives the probabilities of the labels.",
            TaskType::MultiLabel => "A sigmoid of each output gives the probability of its label.",
            TaskType::Regression => "The output is the number itself.",
            TaskType::TokenClassification =>
                "Softmax over a token's outputs gives the probabilities of its tags; a word's tag is that of its first token.",
        }
    )
}

fn base_model<'a>(manifest: &'a Manifest, options: &'a CardOptions) -> Option<&'a str> {
    let id = manifest.backbone.id.as_str();
    let hub = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', ' ']);
    let is_hub_id = id.split_once('/').is_some_and(|(owner, name)| hub(owner) && hub(name));
    // A folder `a/b` looks like a Hub id; only a Hub id has a revision.
    let from_hub = is_hub_id && manifest.backbone.revision.is_some();
    options.base_model.as_deref().or(from_hub.then_some(id))
}

fn pipeline_tag(kinds: impl IntoIterator<Item = TaskType>) -> &'static str {
    let tokens_only = kinds.into_iter().all(|kind| kind == TaskType::TokenClassification);
    if tokens_only { "token-classification" } else { "text-classification" }
}

/// The Hub's name of a metric.
fn hub_metric(name: &str) -> &str {
    match name {
        "macro_f1" | "micro_f1" | "weighted_f1" | "entity_f1" => "f1",
        "matthews" => "matthews_correlation",
        "auroc" => "roc_auc",
        "pearson" => "pearsonr",
        "spearman" => "spearmanr",
        "r2" => "r_squared",
        other => other,
    }
}

fn type_name(kind: TaskType) -> &'static str {
    match kind {
        TaskType::Classification => "classification",
        TaskType::MultiLabel => "multi-label",
        TaskType::Regression => "regression",
        TaskType::TokenClassification => "token classification",
    }
}

/// The labels, the first few where there are many.
fn labels(head: &HeadInfo) -> String {
    let shown: Vec<String> = head.labels.iter().take(8).map(|label| cell(label)).collect();
    match head.labels.len() {
        0 => "a number".into(),
        1..=8 => shown.join(", "),
        count => format!("{}, … ({count})", shown.join(", ")),
    }
}

fn score(scores: &Scores, metric: &str) -> String {
    match scores.get(metric) {
        Some(Some(value)) => format!("{value:.4}"),
        Some(None) => "undefined".into(),
        None => String::new(),
    }
}

/// Text that cannot end a table cell or a line, nor turn into markup.
fn cell(text: &str) -> String {
    let short = text.chars().take(60).filter(|c| !c.is_control());
    short.fold(String::new(), |mut out, c| {
        if matches!(c, '|' | '`' | '<' | '*' | '_' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}
