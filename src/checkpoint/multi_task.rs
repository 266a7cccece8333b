//! Answers from a checkpoint: all heads in one pass of the backbone.

use super::{CONFIG_FILE, CheckpointFolder, HeadInfo, InputKind, MANIFEST_FILE, Manifest, TOKENIZER_FILE, find};
use crate::data::{Encoded, Input, NO_TOKEN, Packed, Tokenizer};
use crate::error::{Error, Fault, Problem, Result};
use crate::hub::HubOptions;
use crate::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions, Prediction};
use crate::recipe::Freeze;
use candle_core::Device;
use indexmap::IndexMap;
use serde::Serialize;
use std::path::Path;

/// Tokens of one packed batch, about.
const BATCH_TOKENS: usize = 4096;

/// A checkpoint in memory, ready to answer. It can be shared between threads.
///
/// ```
/// use mtl_zoo::{Answer, Input, MultiTask};
///
/// let model = MultiTask::load("zoo:sentiment")?;
/// let texts = [Input::Text("what a day".into()), Input::Text("never again".into())];
/// let answers = model.predict(&texts, &["tweets", "movies"])?;
/// let Answer::Score { score } = answers[1]["tweets"] else { panic!("a regression head") };
/// assert!(score < 0.0);
/// # Ok::<(), mtl_zoo::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiTask {
    model: JointModel,
    tokenizer: Tokenizer,
    manifest: Manifest,
}

/// A head's answer to one input, with the labels' names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of a classification head.
    Label {
        /// The most probable label.
        label: String,
        /// Every label's probability; they add up to 1.
        probabilities: IndexMap<String, f32>,
    },
    /// Of a multi-label head.
    Labels {
        /// The labels whose probability is above one half.
        labels: Vec<String>,
        /// Every label's own probability.
        probabilities: IndexMap<String, f32>,
    },
    /// Of a regression head.
    Score {
        /// The number.
        score: f32,
    },
    /// Of a token classification head.
    Tags {
        /// The words.
        tokens: Vec<String>,
        /// The most probable tag of each word; `None` for words that were cut off at the length limit, or of which
        /// the tokenizer makes no token.
        tags: Vec<Option<String>>,
        /// The probability of each tag.
        probabilities: Vec<Option<f32>>,
    },
}

/// Tokens of one input, and which heads read them.
struct Sequence {
    input: usize,
    encoded: Encoded,
    /// Heads that read texts and pairs.
    whole: bool,
    /// The words, for heads that tag them.
    words: Option<Vec<String>>,
}

impl MultiTask {
    /// Reads and verifies a checkpoint: a folder, a run's folder, a Hub id such as `org/name@revision` (feature `hub`), or
    /// `zoo:` and the name of a published one. From the Hub, files come through the cache that Python shares, as the
    /// environment says (`HF_TOKEN`, `HF_HOME`, `HF_HUB_OFFLINE`, ...).
    ///
    /// # Errors
    /// As [`find`](super::find), [`CheckpointFolder::open`], and if tensors, configuration and tokenizer do not belong
    /// together.
    pub fn load(source: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(source, &HubOptions::default())
    }

    /// As [`load`](Self::load), with the Hub reached in another way.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(source: impl AsRef<Path>, options: &HubOptions) -> Result<Self> {
        Self::load_on(source, options, &Device::Cpu)
    }

    /// As [`load_with`](Self::load_with), to answer on a device ([`DeviceChoice::open`](crate::device::DeviceChoice::open)).
    ///
    /// # Errors
    /// As [`load`](Self::load), and if the device has no memory for it.
    pub fn load_on(source: impl AsRef<Path>, options: &HubOptions, device: &Device) -> Result<Self> {
        let source = source.as_ref();
        // A folder's name need not be text.
        if source.join(MANIFEST_FILE).is_file() {
            return Self::open(source, device);
        }
        Self::open(&find(&source.to_string_lossy(), options)?.folder, device)
    }

    /// Reads a folder.
    fn open(dir: &Path, device: &Device) -> Result<Self> {
        let CheckpointFolder { dir, manifest, tensors, config, tokenizer, .. } = CheckpointFolder::open(dir)?;
        let config_path = dir.join(CONFIG_FILE);
        let config = BackboneConfig::parse(&config).map_err(|error| refused(error, &config_path))?;
        let tokenizer_path = dir.join(TOKENIZER_FILE);
        let tokenizer = Tokenizer::from_bytes(tokenizer).map_err(|error| refused(error, &tokenizer_path))?;
        check_fit(&dir, &manifest, &config, &tokenizer)?;
        let head = |(task, head): (&String, &HeadInfo)| {
            (task.clone(), HeadOptions::new(head.kind, head.outputs(), head.pooling))
        };
        let heads = manifest.heads.iter().map(head).collect();
        let options = ModelOptions { freeze: Freeze::None, seed: 0, trained_heads: true };
        let weights = tensors.weights(|_| true)?;
        let mut model =
            JointModel::on(device, config, weights, heads, &options).map_err(|error| refused(error, tensors.path()))?;
        model.fix()?;
        let loaded = Self { model, tokenizer, manifest };
        loaded.try_tokenizer().map_err(|error| refused(error, &tokenizer_path))?;
        Ok(loaded)
    }

    /// What the checkpoint is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Backbone and heads.
    pub fn model(&self) -> &JointModel {
        &self.model
    }

    /// The backbone's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Answers of the heads, by name and in this order, to each input; of all heads that can read every input if
    /// `heads` is empty. All heads share one pass of the backbone.
    ///
    /// Heads that tag words split a text at white space. Other heads read pre-split words as a text, with a space
    /// between two. Inputs longer than the manifest's `max_tokens` are cut.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such head, or it cannot read one of the inputs.
    pub fn predict(&self, inputs: &[Input], heads: &[&str]) -> Result<Vec<IndexMap<String, Answer>>> {
        let heads = self.choose(inputs, heads)?;
        let mut sequences = self.encode(inputs, &heads)?;
        let mut answers: Vec<Vec<Option<Answer>>> = inputs.iter().map(|_| vec![None; heads.len()]).collect();
        // Sequences of about the same length together: no thread waits for the one long sequence of its batch.
        sequences.sort_by_key(|sequence| sequence.encoded.ids.len());
        let mut rest = &sequences[..];
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = |sequence: &&Sequence| {
                tokens += sequence.encoded.ids.len();
                tokens <= BATCH_TOKENS
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = later;
            let packed = Packed::new(now.iter().map(|sequence| &sequence.encoded));
            let predictions = self.model.predict(&packed, &heads)?;
            for (place, (&head, predictions)) in heads.iter().zip(predictions).enumerate() {
                for (sequence, prediction) in now.iter().zip(predictions) {
                    let answer = &mut answers[sequence.input][place];
                    *answer = answer.take().or_else(|| sequence.answer(&self.manifest.heads[head], prediction));
                }
            }
        }
        let name = |&head: &usize| self.manifest.heads.get_index(head).expect("chosen from the heads").0.clone();
        let named = |answers: Vec<Option<Answer>>| {
            let answer = |answer: Option<Answer>| answer.expect("each head has read its sequence of each input");
            heads.iter().map(name).zip(answers.into_iter().map(answer)).collect()
        };
        Ok(answers.into_iter().map(named).collect())
    }

    /// The heads that are asked for, by their place in the manifest.
    fn choose(&self, inputs: &[Input], names: &[&str]) -> Result<Vec<usize>> {
        let known = &self.manifest.heads;
        let unreadable = |head: &HeadInfo| inputs.iter().find(|input| !reads(head.input, input));
        let heads_that = |can: &dyn Fn(&HeadInfo) -> bool| {
            let names: Vec<_> =
                known.iter().filter(|(_, head)| can(head)).map(|(name, _)| format!("`{name}`")).collect();
            names.join(", ")
        };
        let expected = |heads: String| match heads.as_str() {
            "" => "inputs of one kind that a head reads".into(),
            _ => format!("one of the heads {heads}"),
        };
        if names.is_empty() {
            let able: Vec<_> = (0..known.len()).filter(|&index| unreadable(&known[index]).is_none()).collect();
            if able.is_empty() {
                let kinds: Vec<_> =
                    known.iter().map(|(name, head)| format!("`{name}` {}", wanted(head.input))).collect();
                let help = "give each input in the form that the heads read";
                let found = "inputs that no head can read";
                return Err(Problem::new(found, format!("what a head reads: {}", kinds.join(", ")), help).argument());
            }
            return Ok(able);
        }
        let choose = |name: &&str| {
            let Some(index) = known.get_index_of(*name) else {
                let help = "correct the name; `mtl-zoo inspect` shows the heads of a checkpoint";
                let found = format!("{name:?}, which is no head of this checkpoint");
                return Err(Problem::new(found, expected(heads_that(&|_| true)), help).key("head").argument());
            };
            if let Some(input) = unreadable(&known[index]) {
                let found =
                    format!("{} for the head `{name}`, which reads {}", kind(input), wanted(known[index].input));
                let able = heads_that(&|head| reads(head.input, input));
                let help = "choose another head, or give the inputs in its form";
                return Err(Problem::new(found, expected(able), help).key("head").argument());
            }
            Ok(index)
        };
        names.iter().map(choose).collect()
    }

    /// One sequence an input, or two where words and text do not give the same tokens.
    fn encode(&self, inputs: &[Input], heads: &[usize]) -> Result<Vec<Sequence>> {
        let tags = |&head: &usize| self.manifest.heads[head].input == InputKind::Words;
        let encode = |inputs: &[Input]| {
            let encoded = self.tokenizer.encode(&inputs.iter().collect::<Vec<_>>(), self.manifest.max_tokens)?;
            self.check_tokens(&encoded)?;
            Ok::<_, Error>(encoded)
        };
        let mut sequences = Vec::with_capacity(inputs.len());
        if !heads.iter().all(tags) {
            let whole: Vec<_> = inputs.iter().map(as_text).collect();
            let encoded = encode(&whole)?.into_iter().enumerate();
            sequences.extend(encoded.map(|(input, encoded)| Sequence { input, encoded, whole: true, words: None }));
        }
        if heads.iter().any(tags) {
            let words: Vec<_> = inputs.iter().map(as_words).collect();
            let encoded = encode(&words)?;
            for (input, (words, encoded)) in words.into_iter().zip(encoded).enumerate() {
                let Input::Words(words) = words else { unreachable!("heads that tag words read no pairs") };
                match sequences.get_mut(input).filter(|whole| whole.encoded.ids == encoded.ids) {
                    Some(both) => (both.encoded, both.words) = (encoded, Some(words)),
                    None => sequences.push(Sequence { input, encoded, whole: false, words: Some(words) }),
                }
            }
        }
        Ok(sequences)
    }

    /// Encodes an input of each kind that the heads read, so that a tokenizer that lies is refused before there is work.
    fn try_tokenizer(&self) -> Result<()> {
        let heads = &self.manifest.heads;
        for input in [Input::Text("a".into()), Input::Pair("a".into(), "a".into())] {
            let able: Vec<_> = (0..heads.len()).filter(|&head| reads(heads[head].input, &input)).collect();
            match self.encode(&[input], &able) {
                // Another script may know no such letter, and a short limit have no room for pairs.
                Err(Error::Data(_) | Error::Recipe(_)) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Refuses tokens beyond the backbone's tables: a tokenizer's template may add ids, segments and whole copies of a
    /// text that its vocabulary does not tell of.
    fn check_tokens(&self, encoded: &[Encoded]) -> Result<()> {
        let config = self.model.config();
        let largest =
            |values: fn(&Encoded) -> &[u32]| encoded.iter().flat_map(values).max().map_or(0, |&max| max as usize);
        let tokens = encoded.iter().map(|encoded| encoded.ids.len()).max().unwrap_or(0);
        let help = "the files belong to different models; export the checkpoint again";
        let refuse = |found: String, expected: String| {
            let problem = Problem::new(found, expected, help).file(TOKENIZER_FILE).key("post_processor");
            Err(problem.checkpoint(Fault::Value))
        };
        let (id, segment) = (largest(|encoded| &encoded.ids), largest(|encoded| &encoded.type_ids));
        if id >= config.vocabulary() {
            return refuse(
                format!("the token id {id}"),
                format!("ids below {}, the backbone's vocab_size", config.vocabulary()),
            );
        }
        if segment >= config.segments() {
            return refuse(
                format!("the segment {segment}"),
                format!("segments below {}, the backbone's", config.segments()),
            );
        }
        if tokens > config.max_positions() {
            let expected = format!("at most {}, the backbone's positions", config.max_positions());
            return refuse(format!("{tokens} tokens after truncation"), expected);
        }
        Ok(())
    }
}

impl Sequence {
    /// The head's answer, if the sequence is one that it reads.
    fn answer(&self, head: &HeadInfo, prediction: Prediction) -> Option<Answer> {
        let label = |&index: &u32| head.labels[index as usize].clone();
        let named = |probabilities| head.labels.iter().cloned().zip::<Vec<f32>>(probabilities).collect();
        match prediction {
            Prediction::Tags { tags, probabilities } => {
                let tokens = self.words.clone()?;
                let token = |word: usize| self.encoded.first_tokens.get(word).filter(|&&token| token != NO_TOKEN);
                let first: Vec<_> = (0..tokens.len()).map(|word| token(word).map(|&token| token as usize)).collect();
                Some(Answer::Tags {
                    tokens,
                    tags: first.iter().map(|token| token.map(|token| label(&tags[token]))).collect(),
                    probabilities: first.iter().map(|token| token.map(|token| probabilities[token])).collect(),
                })
            }
            _ if !self.whole => None,
            Prediction::Class { class, probabilities } => {
                Some(Answer::Label { label: label(&class), probabilities: named(probabilities) })
            }
            Prediction::Labels { labels, probabilities } => {
                Some(Answer::Labels { labels: labels.iter().map(label).collect(), probabilities: named(probabilities) })
            }
            Prediction::Score(score) => Some(Answer::Score { score }),
        }
    }
}

fn reads(head: InputKind, input: &Input) -> bool {
    (head == InputKind::Pair) == matches!(input, Input::Pair(..))
}

fn kind(input: &Input) -> &'static str {
    match input {
        Input::Text(_) => "a single text",
        Input::Pair(..) => "a pair of texts",
        Input::Words(_) => "a list of words",
    }
}

fn wanted(head: InputKind) -> &'static str {
    match head {
        InputKind::Text => "single texts",
        InputKind::Pair => "pairs of texts",
        InputKind::Words => "words",
    }
}

fn as_text(input: &Input) -> Input {
    match input {
        Input::Words(words) => Input::Text(words.join(" ")),
        other => other.clone(),
    }
}

fn as_words(input: &Input) -> Input {
    match input {
        Input::Text(text) => Input::Words(text.split_whitespace().map(str::to_owned).collect()),
        other => other.clone(),
    }
}

/// What was wrong with a backbone or recipe is here wrong with a checkpoint.
fn refused(error: Error, path: &Path) -> Error {
    match error {
        Error::Backbone(problem) | Error::Recipe(problem) => problem.file(path).checkpoint(Fault::Value),
        Error::Checkpoint { fault, problem } => problem.file(path).checkpoint(fault),
        other => other,
    }
}

fn check_fit(dir: &Path, manifest: &Manifest, config: &BackboneConfig, tokenizer: &Tokenizer) -> Result<()> {
    let help = "the files belong to different models; export the checkpoint again";
    let refuse = |file: &str, key: &str, found: String, expected: String| {
        Err(Problem::new(found, expected, help).file(dir.join(file)).key(key).checkpoint(Fault::Value))
    };
    let (positions, vocabulary) = (config.max_positions(), config.vocabulary());
    if manifest.max_tokens > positions {
        let expected = format!("at most {positions}, the backbone's positions");
        return refuse(MANIFEST_FILE, "max_tokens", manifest.max_tokens.to_string(), expected);
    }
    if tokenizer.vocab_size() > vocabulary {
        let expected = format!("at most {vocabulary}, the backbone's vocab_size");
        return refuse(TOKENIZER_FILE, "model.vocab", format!("{} tokens", tokenizer.vocab_size()), expected);
    }
    let pair = manifest.heads.iter().find(|(_, head)| head.input == InputKind::Pair);
    if let (true, Some((name, _))) = (config.segments() < 2, pair) {
        let expected = "single texts: this backbone knows one segment".into();
        return refuse(MANIFEST_FILE, &format!("heads.{name}.input"), "pairs of texts".into(), expected);
    }
    Ok(())
}
