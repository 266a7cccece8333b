//! A checkpoint as formats take it: parsed configuration, tensors under the family's own names, tokenizer files.

use super::config::Object;
use super::folder::NamedTensor;
use super::tokenizer;
use crate::checkpoint::{CONFIG_FILE, CheckpointFolder, HeadInfo, MANIFEST_FILE, StoredTensor};
use crate::error::{Error, Fault, Problem, Result};
use crate::model::BackboneConfig;
use crate::recipe::{CheckpointDtype, Pooling};
use std::collections::HashMap;

/// What Python calls a family's classes.
pub(super) struct Classes {
    /// The encoder alone.
    pub(super) encoder: &'static str,
    /// With a classifier on its pooler.
    pub(super) sequence: &'static str,
    /// With a classifier on every token.
    pub(super) token: &'static str,
    /// What comes before the encoder's tensors in the latter two.
    pub(super) prefix: &'static str,
}

/// A checkpoint whose parts fit each other.
pub(super) struct Source<'a> {
    pub(super) checkpoint: &'a CheckpointFolder,
    pub(super) config: BackboneConfig,
    /// Number format to store tensors in.
    pub(super) dtype: CheckpointDtype,
    /// Tokenizer files by name.
    pub(super) tokenizer: Vec<(String, Vec<u8>)>,
    tensors: HashMap<String, StoredTensor<'a>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(checkpoint: &'a CheckpointFolder, dtype: CheckpointDtype) -> Result<Self> {
        let path = checkpoint.dir.join(CONFIG_FILE);
        let config = BackboneConfig::parse(&checkpoint.config).map_err(|error| match error {
            Error::Backbone(problem) => problem.file(&path).checkpoint(Fault::Value),
            other => other,
        })?;
        let manifest = &checkpoint.manifest;
        if manifest.max_tokens > config.max_positions() {
            let expected = format!("at most {}, the backbone's positions", config.max_positions());
            let help = "the files belong to different models; export the checkpoint again";
            let problem = Problem::new(manifest.max_tokens.to_string(), expected, help).key("max_tokens");
            return Err(problem.file(checkpoint.dir.join(MANIFEST_FILE)).checkpoint(Fault::Value));
        }
        let tensors =
            checkpoint.backbone_tensors().map(|tensor| (config.canonical_name(tensor.name), tensor)).collect();
        let tokenizer = tokenizer::files(checkpoint)?;
        Ok(Self { checkpoint, config, dtype, tokenizer, tensors })
    }

    pub(super) fn classes(&self) -> Classes {
        match self.config {
            BackboneConfig::Bert(_) => Classes {
                encoder: "BertModel",
                sequence: "BertForSequenceClassification",
                token: "BertForTokenClassification",
                prefix: "bert.",
            },
        }
    }

    pub(super) fn has_pooler(&self) -> bool {
        self.tensors.contains_key("pooler.dense.weight")
    }

    /// The encoder's tensors, each under `prefix` and the family's name for it, whatever the file calls it.
    pub(super) fn encoder(&self, prefix: &str, pooler: bool) -> Result<Vec<NamedTensor>> {
        let specs = self.config.parameters(pooler);
        specs.into_iter().map(|spec| self.tensor(&spec.name, &spec.shape, format!("{prefix}{}", spec.name))).collect()
    }

    /// The encoder's pooler as tensors `<name>.weight` and `<name>.bias`.
    pub(super) fn pooler(&self, name: &str) -> Result<Vec<NamedTensor>> {
        let hidden = self.config.hidden();
        let parts: [(&str, &[usize]); 2] = [("weight", &[hidden, hidden]), ("bias", &[hidden])];
        parts
            .into_iter()
            .map(|(part, shape)| self.tensor(&format!("pooler.dense.{part}"), shape, format!("{name}.{part}")))
            .collect()
    }

    fn tensor(&self, name: &str, shape: &[usize], call_it: String) -> Result<NamedTensor> {
        let stored = match self.tensors.get(name) {
            Some(tensor) => *tensor,
            None => self.checkpoint.tensors.require(name)?,
        };
        stored.expect_shape(shape)?;
        Ok(NamedTensor { name: call_it, shape: shape.to_vec(), values: stored.to_f32()? })
    }

    /// The head that is asked for, or the only one.
    pub(super) fn head(&self, name: Option<&str>) -> Result<(&'a str, &'a HeadInfo)> {
        let heads = &self.checkpoint.manifest.heads;
        let names = || heads.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let Some(name) = name else {
            if let (1, Some((name, head))) = (heads.len(), heads.first()) {
                return Ok((name, head));
            }
            let help = "a folder of transformers has one head: choose it, and export again for another";
            let problem = Problem::new(format!("{} heads: {}", heads.len(), names()), "one of them", help);
            return Err(problem.key("--head").argument());
        };
        heads.get_key_value(name).map(|(name, head)| (name.as_str(), head)).ok_or_else(|| {
            let help = "correct the name; `mtl-zoo inspect CHECKPOINT` shows the heads";
            let expected = format!("a head of the checkpoint: {}", names());
            Problem::new(format!("`{name}`"), expected, help).key("--head").argument()
        })
    }

    /// The backbone's `config.json` without what is true of other models only.
    pub(super) fn config_json(&self) -> Result<Object> {
        Object::read(&self.checkpoint.dir.join(CONFIG_FILE), &self.checkpoint.config)
    }

    /// What a person has to know about the encoder in Python.
    pub(super) fn notes(&self) -> Vec<String> {
        let BackboneConfig::Bert(config) = &self.config;
        let relative = "the backbone scores positions by distance, which transformers 5 has dropped without an error: open \
                        the folder with transformers 4";
        if config.relative() { vec![relative.to_owned()] } else { Vec::new() }
    }
}

/// A pooling as recipes and flags write it.
pub(super) fn pooling_name(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Cls => "cls",
        Pooling::Mean => "mean",
        Pooling::Max => "max",
        Pooling::Pooler => "pooler",
    }
}
