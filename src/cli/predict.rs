//! `mtl-zoo predict`

use super::device::DeviceArg;
use super::predict_input::Inputs;
use super::predict_output::{Format, Writer};
use super::{parallel, sources};
use anyhow::Result;
use mtl_zoo::checkpoint::MultiTask;
use mtl_zoo::hub::HubOptions;
use mtl_zoo::{Input, Problem};
use std::io::{self, IsTerminal};

const EXAMPLES: &str = "\
Examples:
  mtl-zoo predict runs/sentiment/checkpoint \"what a day\" \"meh\"
  mtl-zoo predict runs/nli/checkpoint \"it rains\" --pair \"the street is wet\"
  mtl-zoo predict runs/sentiment/checkpoint --input reviews.csv --format csv > scored.csv
  cat lines.txt | mtl-zoo predict runs/sentiment/checkpoint --format jsonl

Input files:
  .jsonl        objects with `text`, with `text` and `pair`, or with `tokens`, a list of words
  .csv, .tsv    a column `text`, and `pair` if there is one; others are left out
  other, stdin  one text a line; empty lines are left out";

/// Answer texts with all heads of a checkpoint, from one pass of the backbone.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Predict {
    /// Folder of a checkpoint, or its Hub id.
    checkpoint: String,
    /// Texts to answer; without any, and without --input, they come from stdin.
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Second text of a sentence pair, read together with each TEXT.
    #[arg(long, value_name = "TEXT", requires = "texts")]
    pair: Option<String>,
    /// File with the inputs; - is stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    input: Option<String>,
    /// Answer with this head only; may be given several times. Without it, all heads that can read the inputs answer.
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<String>,
    #[command(flatten)]
    device: DeviceArg,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Inputs that are answered together: files of any size are read piece by piece.
const CHUNK: usize = 256;

impl Predict {
    pub fn run(self) -> Result<()> {
        parallel::refuse("predict")?;
        let mut inputs = match (&self.input, self.texts.is_empty()) {
            (Some(file), _) if file == "-" => Inputs::lines(Box::new(io::stdin().lock()), "stdin".as_ref()),
            (Some(file), _) => Inputs::open(file.as_ref())?,
            (None, true) if io::stdin().is_terminal() => {
                let help =
                    "`mtl-zoo predict CHECKPOINT \"some text\"`, or `--input FILE`; `--input -` reads what you type";
                return Err(Problem::new("no text", "a text, a file or a pipe", help).key("TEXT").argument().into());
            }
            (None, true) => Inputs::lines(Box::new(io::stdin().lock()), "stdin".as_ref()),
            (None, false) => {
                let input = |text: String| match &self.pair {
                    Some(pair) => Input::Pair(text, pair.clone()),
                    None => Input::Text(text),
                };
                Inputs::given(self.texts.into_iter().map(input).collect())
            }
        };
        let files = sources::checkpoint(&self.checkpoint)?;
        let predictor = MultiTask::load_on(&files.folder, &HubOptions::default(), &self.device.open()?)?;
        let manifest = predictor.manifest();
        let known: Vec<&str> = manifest.heads.keys().map(String::as_str).collect();
        self.heads.iter().try_for_each(|head| sources::check_head(head, &known))?;
        let mut heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        let mut writer = Writer::new(self.format);
        while let Some(chunk) = inputs.next(CHUNK)? {
            let answers = predictor.predict(&chunk, &heads)?;
            // The columns of a file stay the same: the first inputs choose the heads.
            if let (true, Some(first)) = (heads.is_empty(), answers.first()) {
                heads = known.iter().copied().filter(|head| first.contains_key(*head)).collect();
            }
            writer.write(manifest, &heads, &chunk, &answers)?;
        }
        writer.finish()
    }
}
