//! `mtl-zoo inspect`

use super::{output, sources};
use anyhow::Result;
use indexmap::IndexMap;
use mtl_zoo::Error;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::{CONFIG_FILE, CheckpointFolder, MANIFEST_FILE, MODEL_FILE, TensorFile};
use mtl_zoo::error::IoContext;
use mtl_zoo::model::backbones::{BackboneConfig, Depth};
use serde_json::{Value, json};
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo inspect runs/sentiment/checkpoint
  mtl-zoo inspect bundled --json";

/// Describe and verify a checkpoint or a backbone.
///
/// Of a checkpoint, every file is checked against the SHA-256 that the manifest gives, and every head's tensors are
/// checked against its labels.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// Folder or Hub id of a checkpoint or backbone, or the name of a backbone card.
    name: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// What `show` calls.
    pub fn new(name: String) -> Self {
        Self { name, json: false }
    }

    pub fn run(self) -> Result<()> {
        let catalog = Catalog::standard()?;
        let folder = Path::new(&self.name);
        let is_backbone = catalog.backbone(&self.name)?.is_some()
            || (folder.join(CONFIG_FILE).is_file() && !folder.join(MANIFEST_FILE).exists());
        if is_backbone {
            return self.backbone(&catalog);
        }
        match sources::checkpoint(&self.name) {
            Ok(files) => self.checkpoint(&files.folder),
            // On the Hub there are more backbones than checkpoints.
            Err(error) if !folder.exists() && matches!(error.downcast_ref(), Some(Error::Hub(_))) => {
                self.backbone(&catalog).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        let opened = CheckpointFolder::open(folder)?;
        let parts = parts(&opened.tensors, &opened.config, folder)?;
        let dtypes = dtypes(&opened.tensors);
        let manifest = &opened.manifest;
        if self.json {
            let mut document = json!({"kind": "checkpoint", "folder": folder, "verified": true});
            if let (Value::Object(document), Value::Object(manifest)) = (&mut document, json!(manifest)) {
                document.extend(manifest);
            }
            document["parameters"] = json!(parts);
            document["dtypes"] = json!(dtypes);
            return output::print_json(&document);
        }
        let backbone = &manifest.backbone;
        let revision = backbone.revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
        let training = &manifest.training;
        let about = facts(
            "checkpoint",
            folder,
            &[
                ("format", manifest.format.clone()),
                ("backbone", format!("{}{revision} ({})", backbone.id, backbone.family)),
                ("max_tokens", manifest.max_tokens.to_string()),
                (
                    "trained",
                    format!("{} steps, seed {}, best step {}", training.steps, training.seed, training.best_step),
                ),
                ("made by", format!("mtl-zoo {}", manifest.versions.mtl_zoo)),
                ("dtype", list(&dtypes)),
                ("files", format!("{} verified by SHA-256", manifest.sha256.len())),
            ],
        );
        let heads = manifest.heads.iter().map(|(name, head)| {
            let labels = match head.labels.as_slice() {
                [] => "a number".into(),
                labels if labels.len() <= 8 => labels.join(", "),
                labels => format!("{} … ({})", labels[..6].join(", "), labels.len()),
            };
            vec![name.clone(), head.kind.name().into(), word(json!(head.input)), word(json!(head.pooling)), labels]
        });
        let heads = output::table(&["head", "type", "reads", "pooling", "answers"], &heads.collect::<Vec<_>>());
        let scores = manifest.heads.iter().map(|(name, head)| {
            (name.as_str(), vec![("validation", &head.metrics.validation), ("test", &head.metrics.test)])
        });
        let scores = output::score_table(&scores.collect::<Vec<_>>());
        Ok(output::print([about, heads, scores, parts_table(&parts)].join("\n\n"))?)
    }

    fn backbone(&self, catalog: &Catalog) -> Result<()> {
        let files = sources::backbone(catalog, &self.name, None, Path::new("."))?;
        let path = files.folder.join(CONFIG_FILE);
        let json = std::fs::read(&path).at("read", &path)?;
        let config = BackboneConfig::parse(&json)?;
        let tensors = TensorFile::open(files.folder.join(MODEL_FILE))?;
        let parts = parts(&tensors, &json, &files.folder)?;
        let dtypes = dtypes(&tensors);
        let (family, sha256) = (config.family(), tensors.sha256());
        if self.json {
            return output::print_json(&json!({
                "kind": "backbone",
                "folder": files.folder,
                "revision": files.revision,
                "family": family,
                "hidden": config.hidden(),
                "layers": config.layers(),
                "vocabulary": config.vocabulary(),
                "max_positions": config.max_positions(),
                "parameters": parts,
                "dtypes": dtypes,
                "sha256": sha256,
            }));
        }
        let about = facts(
            "backbone",
            &files.folder,
            &[
                ("family", family.into()),
                ("layers", format!("{} of width {}", config.layers(), config.hidden())),
                ("vocabulary", output::thousands(config.vocabulary())),
                ("longest input", format!("{} tokens", config.max_positions())),
                ("dtype", list(&dtypes)),
                ("sha256", sha256),
            ],
        );
        Ok(output::print([about, parts_table(&parts)].join("\n\n"))?)
    }
}

/// Numbers in each part of a model, from the bottom up; `other` for tensors that the model does not use.
fn parts(tensors: &TensorFile, config: &[u8], folder: &Path) -> Result<IndexMap<String, usize>> {
    let config =
        BackboneConfig::parse(config).map_err(|error| anyhow::anyhow!(error).context(folder.display().to_string()))?;
    let depths: IndexMap<String, Depth> =
        config.parameters(true).into_iter().map(|spec| (spec.name, spec.depth)).collect();
    let mut parts: IndexMap<String, usize> = ["embeddings", "layers", "pooler"].map(|part| (part.into(), 0)).into();
    for tensor in tensors.iter() {
        let part = match tensor.name.strip_prefix("heads.").and_then(|rest| rest.rsplit_once('.')) {
            Some((head, _)) => format!("heads.{head}"),
            None => match depths.get(&config.canonical_name(tensor.name)) {
                Some(Depth::Embeddings) => "embeddings".into(),
                Some(Depth::Layer(_)) => "layers".into(),
                Some(Depth::Pooler) => "pooler".into(),
                None => "other".into(),
            },
        };
        *parts.entry(part).or_default() += tensor.elements();
    }
    parts.retain(|_, count| *count > 0);
    Ok(parts)
}

fn parts_table(parts: &IndexMap<String, usize>) -> String {
    let total = ("all together".to_owned(), parts.values().sum());
    let rows = parts.iter().map(|(part, count)| (part.clone(), *count)).chain([total]);
    let rows: Vec<_> = rows.map(|(part, count)| vec![part, output::thousands(count)]).collect();
    output::table(&["part", "parameters"], &rows)
}

/// How many tensors there are of each number format.
fn dtypes(tensors: &TensorFile) -> IndexMap<String, usize> {
    let mut counts = IndexMap::new();
    tensors.iter().for_each(|tensor| *counts.entry(tensor.dtype.to_string()).or_default() += 1);
    counts
}

fn list(counts: &IndexMap<String, usize>) -> String {
    counts.iter().map(|(dtype, count)| format!("{dtype} ({count} tensors)")).collect::<Vec<_>>().join(", ")
}

fn facts(kind: &str, folder: &Path, rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
    output::table(&[kind, &folder.display().to_string()], &rows)
}

/// An enum's value as recipes write it.
fn word(value: Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
