//! The Hub model card, written from the manifest.

mod header;
mod loading;
mod sharing;

use super::{HeadInfo, MANIFEST_FILE, Manifest, Scores};
use crate::recipe::TaskType;
use serde::Deserialize;
use std::fmt::Write;

pub use sharing::with_sharing;

/// What the manifest's recipe says about the checkpoint, in `[checkpoint]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct About {
    title: String,
    license: Option<String>,
    languages: Vec<String>,
    base_model: Option<String>,
}

impl About {
    fn of(manifest: &Manifest) -> Self {
        let written = manifest.recipe.get("checkpoint").cloned().unwrap_or_default();
        let mut about: Self = serde_json::from_value(written).unwrap_or_default();
        if about.title.is_empty() {
            let tasks: Vec<&str> = manifest.heads.keys().map(String::as_str).collect();
            about.title = match tasks.len() {
                1..=4 => format!("One encoder for {}", tasks.join(", ")),
                count => format!("One encoder for {count} tasks"),
            };
        }
        about
    }
}

/// Writes the model card: YAML header with `model-index`, heads and scores, three ways to load it, what sharing did, data,
/// limits. Title, licence, languages and base model are those of the recipe's `[checkpoint]`.
pub fn model_card(manifest: &Manifest) -> String {
    let about = About::of(manifest);
    let mut card = String::from("---\n");
    header::header(&mut card, manifest, &about);
    let _ = body(&mut card, manifest, &about);
    card
}

fn body(card: &mut String, manifest: &Manifest, about: &About) -> std::fmt::Result {
    let Manifest { backbone, heads, training, versions, max_tokens, .. } = manifest;
    let base = match base_model(manifest, about) {
        Some(base) if base == backbone.id => format!("`{base}`"),
        // Of a local folder only the name: the path is nobody's business.
        base => {
            let name = backbone.id.rsplit(['/', '\\']).next().unwrap_or_default();
            base.map_or(format!("`{name}`"), |base| format!("`{name}`, which comes from `{base}`,"))
        }
    };
    let revision = backbone.revision.as_ref().map_or(String::new(), |r| format!(" at revision `{r}`"));
    let methods = manifest.balance.get("method").and_then(|m| m.as_str()).map(|m| format!(", balancing `{m}`"));
    let (count, noun) = (heads.len(), if heads.len() == 1 { "head" } else { "heads" });
    writeln!(card, "# {}\n", about.title)?;
    writeln!(card, "A `{}` encoder with {count} {noun}: one forward pass answers all of them.", backbone.family)?;
    let made = format!("from {base}{revision} with mtl-zoo {} on candle {}", versions.mtl_zoo, versions.candle);
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
    writeln!(card, "\n## How to load it\n")?;
    if let Some((task, head)) = heads.first() {
        loading::loading(card, task, head)?;
    }
    sharing::unmeasured(card, count)?;
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

fn base_model<'a>(manifest: &'a Manifest, about: &'a About) -> Option<&'a str> {
    let id = manifest.backbone.id.as_str();
    let hub = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', ' ']);
    let is_hub_id = id.split_once('/').is_some_and(|(owner, name)| hub(owner) && hub(name));
    // A folder `a/b` looks like a Hub id; only a Hub id has a revision.
    let from_hub = is_hub_id && manifest.backbone.revision.is_some();
    about.base_model.as_deref().or(from_hub.then_some(id))
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
