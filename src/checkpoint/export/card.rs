//! The model card of an export: what it was made from, and the lines of Python that open it.

use super::source::{Source, pooling_name};
use super::{ExportFormat, Exported};
use crate::checkpoint::{HeadInfo, InputKind, Manifest, Scores};
use crate::recipe::TaskType;
use serde_json::{Value, json};
use std::fmt::Write;

pub(super) fn card(source: &Source<'_>, exported: &Exported) -> String {
    let manifest = &source.checkpoint.manifest;
    let head = exported.head.as_ref().and_then(|name| Some((name.as_str(), manifest.heads.get(name)?)));
    let mut card = String::from("---\n");
    header(&mut card, manifest, exported, head.map(|(_, head)| head));
    let _ = body(&mut card, manifest, exported, head);
    card
}

/// Strings are written as JSON, which is YAML too, so that no name can break out.
fn header(card: &mut String, manifest: &Manifest, exported: &Exported, head: Option<&HeadInfo>) {
    let mut line = |key: &str, value: Value| {
        let _ = writeln!(card, "{key}: {value}");
    };
    if manifest.backbone.revision.is_some() {
        line("base_model", json!(manifest.backbone.id));
    }
    let (library, pipeline) = match (exported.format, head) {
        (ExportFormat::SentenceTransformers, _) => ("sentence-transformers", "sentence-similarity"),
        (_, Some(head)) if head.kind == TaskType::TokenClassification => ("transformers", "token-classification"),
        (ExportFormat::Transformers, _) => ("transformers", "text-classification"),
    };
    line("library_name", json!(library));
    line("pipeline_tag", json!(pipeline));
    line("tags", json!(["mtl-zoo", "multi-task-learning", manifest.backbone.family, "safetensors"]));
    card.push_str("---\n\n");
}

fn body(
    card: &mut String,
    manifest: &Manifest,
    exported: &Exported,
    head: Option<(&str, &HeadInfo)>,
) -> std::fmt::Result {
    let id = base(manifest);
    let others = manifest.heads.len().saturating_sub(1);
    match head {
        Some((name, _)) => writeln!(card, "# {name}\n")?,
        None => writeln!(card, "# An encoder for {}\n", manifest.heads.keys().cloned().collect::<Vec<_>>().join(", "))?,
    }
    let what = match head {
        Some((name, _)) if others == 0 => format!("The backbone and the head `{name}`"),
        Some((name, _)) => {
            format!("The backbone and the head `{name}`, one of {} that were trained together,", others + 1)
        }
        None => {
            format!("The backbone with {} pooling, without its heads,", exported.pooling.map_or("no", pooling_name))
        }
    };
    let sha: String =
        manifest.sha256.get("model.safetensors").into_iter().flat_map(|hash| hash.chars().take(16)).collect();
    writeln!(
        card,
        "{what} exported by mtl-zoo {} from a checkpoint that was fine-tuned from `{id}`\n(`model.safetensors` with SHA-256 \
         `{sha}…`). Inputs are cut at {} tokens.\n",
        env!("CARGO_PKG_VERSION"),
        exported.max_tokens,
    )?;
    match head {
        Some((_, head)) => {
            scores(card, head)?;
            python(card, exported, head)?;
        }
        None => writeln!(
            card,
            "```python\nfrom sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer(\".\")\n\
             embeddings = model.encode([\"what a day\", \"some text\"])\n```\n"
        )?,
    }
    exported.notes.iter().try_for_each(|note| writeln!(card, "- {}", sentence(note)))
}

/// What the backbone was. Of a local folder only the name: the path is nobody's business.
pub(super) fn base(manifest: &Manifest) -> &str {
    let id = manifest.backbone.id.as_str();
    if manifest.backbone.revision.is_some() { id } else { id.rsplit(['/', '\\']).next().unwrap_or_default() }
}

fn scores(card: &mut String, head: &HeadInfo) -> std::fmt::Result {
    let (split, scores): (_, &Scores) = match &head.metrics {
        scores if !scores.test.is_empty() => ("test", &scores.test),
        scores => ("validation", &scores.validation),
    };
    if scores.is_empty() {
        return Ok(());
    }
    writeln!(card, "| Metric | On the {split} split |\n|---|---:|")?;
    for (metric, value) in scores {
        let value = value.map_or("undefined".into(), |value| format!("{value:.4}"));
        writeln!(card, "| {metric} | {value} |")?;
    }
    writeln!(card)
}

fn python(card: &mut String, exported: &Exported, head: &HeadInfo) -> std::fmt::Result {
    let auto = match head.kind {
        TaskType::TokenClassification => "AutoModelForTokenClassification",
        _ => "AutoModelForSequenceClassification",
    };
    let trust = if exported.remote_code { ", trust_remote_code=True" } else { "" };
    let input = match head.input {
        InputKind::Text => "\"some text\"",
        InputKind::Pair => "\"one text\", \"and another\"",
        InputKind::Words => "[\"some\", \"words\"], is_split_into_words=True",
    };
    let (answer, meaning) = match head.kind {
        TaskType::Classification => ("logits.softmax(-1)", "the probability of each label in model.config.id2label"),
        TaskType::MultiLabel => ("logits.sigmoid()", "the probability of each label in model.config.id2label"),
        TaskType::Regression => ("logits[0, 0]", "the number"),
        TaskType::TokenClassification => ("logits.softmax(-1)", "a word's tag is that of its first token"),
    };
    writeln!(
        card,
        "```python\nimport torch\nfrom transformers import {auto}, AutoTokenizer\n\n\
         tokenizer = AutoTokenizer.from_pretrained(\".\"{trust})\n\
         model = {auto}.from_pretrained(\".\"{trust}).eval()\n\
         with torch.no_grad():\n    logits = model(**tokenizer({input}, truncation=True, return_tensors=\"pt\")).logits\n\
         print({answer})  # {meaning}\n```\n"
    )
}

/// A note with a capital letter and a full stop.
fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(letters).chain(['.']).collect()
}
