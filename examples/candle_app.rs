//! Answers texts with every head of a checkpoint, without mtl-zoo: candle, tokenizers and serde_json are enough. Copy
//! what you need. Prints one JSON object a text, as `mtl-zoo predict --format jsonl` does.
//!
//! ```sh
//! cargo run --release --example candle_app -- runs/sentiment/checkpoint "what a day" "meh"
//! ```

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::ops::{sigmoid, softmax_last_dim};
use candle_nn::{Linear, Module, VarBuilder};
use candle_transformers::models::bert::{BertModel, Config};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub struct Model {
    tokenizer: Tokenizer,
    bert: BertModel,
    pooler: Option<Linear>,
    heads: Vec<Head>,
}

struct Head {
    name: String,
    /// "classification", "multi_label", "regression" or "token_classification".
    kind: String,
    /// "cls", "mean", "max" or "pooler".
    pooling: String,
    labels: Vec<Value>,
    linear: Linear,
}

impl Model {
    pub fn load(dir: &Path) -> Result<Self> {
        let manifest: Value = serde_json::from_slice(&fs::read(dir.join("mtl_zoo.json"))?)?;
        let config: Config = serde_json::from_slice(&fs::read(dir.join("config.json"))?)?;
        let width = config.hidden_size;
        let mut tokenizer = Tokenizer::from_file(dir.join("tokenizer.json"))?;
        let max_length = manifest["max_tokens"].as_u64().ok_or("no max_tokens")? as usize;
        tokenizer.with_truncation(Some(TruncationParams { max_length, ..Default::default() }))?.with_padding(None);

        let tensors = candle_core::safetensors::load(dir.join("model.safetensors"), &Device::Cpu)?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let has_pooler = vb.contains_tensor("pooler.dense.weight");
        let pooler = has_pooler.then(|| candle_nn::linear(width, width, vb.pp("pooler.dense"))).transpose()?;
        let mut heads = Vec::new();
        for (name, info) in manifest["heads"].as_object().ok_or("no heads")? {
            let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
            if text("input") == "pair" {
                continue; // They read two texts: `tokenizer.encode((one, other), true)`.
            }
            let labels = info["labels"].as_array().cloned().unwrap_or_default();
            let linear = candle_nn::linear(width, labels.len().max(1), vb.pp("heads").pp(name))?;
            heads.push(Head { name: name.clone(), kind: text("type"), pooling: text("pooling"), labels, linear });
        }
        Ok(Self { tokenizer, bert: BertModel::load(vb, &config)?, pooler, heads })
    }

    /// Every head's answer, from one pass of the encoder.
    pub fn answer(&self, text: &str) -> Result<Value> {
        let encoding = self.tokenizer.encode(text, true)?;
        let hidden = self.hidden(&encoding)?;
        let mut answers = Map::new();
        for head in &self.heads {
            let answer = match head.kind.as_str() {
                "token_classification" => {
                    // Tags are for words; split at white space they have the text's tokens, but for odd characters.
                    let words: Vec<&str> = text.split_whitespace().collect();
                    let of_words = self.tokenizer.encode(words.clone(), true)?;
                    let same = of_words.get_ids() == encoding.get_ids();
                    let hidden = if same { hidden.clone() } else { self.hidden(&of_words)? };
                    head.tags(&words, &of_words, &hidden)?
                }
                _ => head.answer(&self.pool(&head.pooling, &hidden)?)?,
            };
            answers.insert(head.name.clone(), answer);
        }
        Ok(json!({"text": text, "heads": answers}))
    }

    /// Hidden states `[tokens, width]`.
    fn hidden(&self, encoding: &Encoding) -> Result<Tensor> {
        let tensor = |ids: &[u32]| Tensor::new(ids, &Device::Cpu)?.unsqueeze(0);
        let (ids, type_ids) = (tensor(encoding.get_ids())?, tensor(encoding.get_type_ids())?);
        Ok(self.bert.forward(&ids, &type_ids, None)?.squeeze(0)?)
    }

    /// One state `[1, width]` for the whole text.
    fn pool(&self, pooling: &str, hidden: &Tensor) -> Result<Tensor> {
        Ok(match pooling {
            "cls" => hidden.i(..1)?,
            "mean" => hidden.mean_keepdim(0)?,
            "max" => hidden.max_keepdim(0)?,
            "pooler" => self.pooler.as_ref().ok_or("no pooler")?.forward(&hidden.i(..1)?)?.tanh()?,
            other => return Err(format!("pooling {other:?}").into()),
        })
    }
}

impl Head {
    fn answer(&self, state: &Tensor) -> Result<Value> {
        let logits = self.linear.forward(state)?;
        let vector = |tensor: Tensor| tensor.squeeze(0)?.to_vec1::<f32>();
        let named = |values: &[f32]| {
            let label = |label: &Value| label.as_str().unwrap_or_default().to_owned();
            self.labels.iter().map(label).zip(values.iter().map(|&p| json!(p))).collect::<Map<_, _>>()
        };
        Ok(match self.kind.as_str() {
            "classification" => {
                let p = vector(softmax_last_dim(&logits)?)?;
                json!({"label": self.labels[largest(&p)], "probabilities": named(&p)})
            }
            "multi_label" => {
                let p = vector(sigmoid(&logits)?)?;
                let labels: Vec<_> = self.labels.iter().zip(&p).filter(|(_, p)| **p > 0.5).map(|(l, _)| l).collect();
                json!({"labels": labels, "probabilities": named(&p)})
            }
            "regression" => json!({"score": vector(logits)?[0]}),
            other => return Err(format!("a head of type {other:?}").into()),
        })
    }

    /// The tag of a word is that of its first token; words that were cut off have none.
    fn tags(&self, words: &[&str], encoding: &Encoding, hidden: &Tensor) -> Result<Value> {
        let p = softmax_last_dim(&self.linear.forward(hidden)?)?.to_vec2::<f32>()?;
        let first = |word: u32| encoding.get_word_ids().iter().position(|id| *id == Some(word));
        let rows: Vec<_> = (0..words.len() as u32).map(|word| first(word).map(|token| &p[token])).collect();
        let tags: Vec<_> = rows.iter().map(|row| row.map(|row| &self.labels[largest(row)])).collect();
        let probabilities: Vec<_> = rows.iter().map(|row| row.map(|row| row[largest(row)])).collect();
        Ok(json!({"tokens": words, "tags": tags, "probabilities": probabilities}))
    }
}

fn largest(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: candle_app CHECKPOINT TEXT...")?;
    let model = Model::load(Path::new(&dir))?;
    for text in args {
        println!("{}", model.answer(&text)?);
    }
    Ok(())
}
