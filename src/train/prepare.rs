//! Everything that a run needs before its first step: data, tokens, configuration, model.

use crate::checkpoint::{CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, TensorFile};
use crate::collective::{Alone, Collective};
use crate::data::{Example, Row, TaskData, TaskStatistics, TokenCache, Tokenizer};
use crate::error::{IoContext, Problem, Result};
use crate::hub::HubFiles;
use crate::metrics::Metric;
use crate::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions};
use crate::recipe::{Balanced, ClassWeights, Recipe, Task, TaskType};
use candle_core::Device;
use indexmap::IndexMap;
use std::sync::Arc;

/// A recipe with its data read and tokenized.
pub struct Prepared {
    /// The resolved recipe.
    pub recipe: Recipe,
    /// Where the backbone's files lie.
    pub backbone: HubFiles,
    /// The backbone's configuration, with the recipe's dropout.
    pub config: BackboneConfig,
    /// The backbone's `config.json`, as pulled.
    pub config_json: Vec<u8>,
    /// The backbone's tokenizer.
    pub tokenizer: Tokenizer,
    /// The tasks in the recipe's order.
    pub tasks: Vec<PreparedTask>,
    /// The tasks that label the same training inputs: their rows are drawn together and go through the backbone once.
    pub groups: Vec<Vec<usize>>,
    /// Where models compute: the CPU unless said otherwise.
    pub device: Device,
    /// The processes that train together: this one alone unless said otherwise.
    pub ranks: Arc<dyn Collective>,
}

/// One task with its data read and tokenized.
pub struct PreparedTask {
    /// Labels, rows and fingerprints.
    pub data: TaskData,
    /// Training examples.
    pub train: Vec<Example>,
    /// Validation examples.
    pub validation: Vec<Example>,
    /// Test examples.
    pub test: Option<Vec<Example>>,
    /// The metrics, the main one first.
    pub metrics: Vec<Metric>,
    /// The head.
    pub head: HeadOptions,
}

impl Prepared {
    /// Reads the data and tokenizes it.
    ///
    /// # Errors
    /// If a file cannot be read or used, or the recipe asks for what the backbone cannot do.
    pub fn new(recipe: Recipe, backbone: HubFiles) -> Result<Self> {
        Self::with_cache(recipe, backbone, None)
    }

    /// As [`Prepared::new`], with tokens from a cache where it has them.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn with_cache(recipe: Recipe, backbone: HubFiles, cache: Option<&TokenCache>) -> Result<Self> {
        let path = backbone.folder.join(CONFIG_FILE);
        let config_json = std::fs::read(&path).at("read", &path)?;
        let mut config = BackboneConfig::parse(&config_json)?;
        config.set_dropout(recipe.backbone.dropout, recipe.backbone.attention_dropout);
        let tokenizer = Tokenizer::from_file(backbone.folder.join(TOKENIZER_FILE))?;
        check_fit(&recipe, &config, &tokenizer)?;
        let max_tokens = recipe.backbone.max_tokens;
        let examples = |rows: &[Row]| match cache {
            Some(cache) => cache.examples(&tokenizer, rows, max_tokens),
            None => tokenizer.examples(rows, max_tokens),
        };
        let tasks = recipe.tasks.iter().map(|(name, task)| PreparedTask::new(name, task, examples));
        let tasks: Vec<PreparedTask> = tasks.collect::<Result<_>>()?;
        let groups = super::draw::groups(&tasks, &recipe);
        let (device, ranks) = (Device::Cpu, Arc::new(Alone));
        Ok(Self { recipe, backbone, config, config_json, tokenizer, tasks, groups, device, ranks })
    }

    /// The model at the start of training.
    ///
    /// # Errors
    /// If the weights cannot be read, or do not fit the configuration.
    pub fn model(&self) -> Result<JointModel> {
        let file = TensorFile::open(self.backbone.folder.join(MODEL_FILE))?;
        let weights = file.weights(|name| !name.starts_with("heads."))?;
        let heads = self.tasks.iter().map(|task| (task.data.name.clone(), task.head.clone())).collect();
        let options =
            ModelOptions { freeze: self.recipe.backbone.freeze, seed: self.recipe.training.seed, trained_heads: false };
        JointModel::on(&self.device, self.config.clone(), weights, heads, &options)
    }

    /// Class counts and lengths of every task.
    pub fn statistics(&self) -> Vec<TaskStatistics> {
        self.tasks.iter().map(PreparedTask::statistics).collect()
    }

    /// Rows of each split of each task, with their hashes.
    pub fn fingerprints(&self) -> IndexMap<String, IndexMap<String, crate::data::task_data::Fingerprint>> {
        self.tasks.iter().map(|task| (task.data.name.clone(), task.data.fingerprints.clone())).collect()
    }
}

fn check_fit(recipe: &Recipe, config: &BackboneConfig, tokenizer: &Tokenizer) -> Result<()> {
    if recipe.backbone.max_tokens > config.max_positions() {
        let found = recipe.backbone.max_tokens.to_string();
        let expected = format!("at most {}, which this backbone was built for", config.max_positions());
        return Err(Problem::new(found, expected, format!("write `max_tokens = {}`", config.max_positions()))
            .key("backbone.max_tokens")
            .recipe());
    }
    if tokenizer.vocab_size() > config.vocabulary() {
        let found = format!("a tokenizer of {} tokens", tokenizer.vocab_size());
        let expected = format!("at most {}, the backbone's vocab_size", config.vocabulary());
        let help = "use the tokenizer.json that belongs to the weights";
        return Err(Problem::new(found, expected, help).file(TOKENIZER_FILE).backbone());
    }
    let pairs = recipe.tasks.iter().find(|(_, task)| task.columns.pair.is_some());
    if let (true, Some((name, _))) = (config.segments() < 2, pairs) {
        let help = "choose a backbone with type_vocab_size 2";
        let expected = "single texts: this backbone knows one segment";
        return Err(Problem::new("sentence pairs", expected, help).key(format!("tasks.{name}.columns.pair")).recipe());
    }
    if let crate::recipe::Freeze::Layers(layers) = recipe.backbone.freeze
        && layers > config.layers()
    {
        let expected = format!("at most {}, the backbone's layers", config.layers());
        let help = "write a smaller number, or `freeze = \"all\"`";
        return Err(Problem::new(layers.to_string(), expected, help).key("backbone.freeze").recipe());
    }
    Ok(())
}

impl PreparedTask {
    fn new(name: &str, task: &Task, examples: impl Fn(&[Row]) -> Result<Vec<Example>>) -> Result<Self> {
        let data = TaskData::load(name, task)?;
        let train = examples(&data.train)?;
        let head = HeadOptions {
            kind: task.kind,
            outputs: if task.kind == TaskType::Regression { 1 } else { data.labels.len() },
            pooling: task.pooling,
            dropout: task.dropout,
            class_weights: class_weights(name, task, &data.labels, &train)?,
            label_smoothing: task.label_smoothing,
        };
        Ok(Self {
            validation: examples(&data.validation)?,
            test: data.test.as_deref().map(&examples).transpose()?,
            metrics: task.metrics.clone().unwrap_or_else(|| task.kind.predictions().default_metrics().to_vec()),
            data,
            train,
            head,
        })
    }

    /// Its examples: train, validation and, if there is one, test.
    pub(super) fn splits(&self) -> Vec<&[Example]> {
        [Some(&self.train[..]), Some(&self.validation[..]), self.test.as_deref()].into_iter().flatten().collect()
    }

    fn statistics(&self) -> TaskStatistics {
        let mut splits = vec![("train", &self.train[..]), ("validation", &self.validation[..])];
        splits.extend(self.test.as_deref().map(|test| ("test", test)));
        TaskStatistics::new(&self.data.name, self.data.kind, &self.data.labels, splits)
    }
}

fn class_weights(name: &str, task: &Task, labels: &[String], train: &[Example]) -> Result<Option<Vec<f32>>> {
    match &task.class_weights {
        None => Ok(None),
        Some(ClassWeights::Given(given)) => {
            if let Some(unknown) = given.keys().find(|label| !labels.contains(label)) {
                let expected = format!("one of {}", labels.join(", "));
                let problem = Problem::new(format!("weight of a label `{unknown}`"), expected, "correct the label");
                return Err(problem.key(format!("tasks.{name}.class_weights")).recipe());
            }
            Ok(Some(labels.iter().map(|label| given.get(label).copied().unwrap_or(1.0)).collect()))
        }
        Some(ClassWeights::Named(Balanced::Balanced)) => {
            use crate::data::statistics::{SplitStatistics, TargetStatistics};
            let TargetStatistics::Counts(counts) = SplitStatistics::new(labels, train).targets else {
                return Ok(None);
            };
            let total: usize = counts.values().sum();
            // A class without rows has no say; scikit-learn leaves it out as well.
            let weight = |&count: &usize| total as f32 / (counts.len() * count.max(1)) as f32;
            Ok(Some(counts.values().map(weight).collect()))
        }
    }
}
