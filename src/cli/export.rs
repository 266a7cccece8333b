//! `mtl-zoo export`

use super::{output, quoted, sources};
use anyhow::Result;
use clap::ValueEnum;
use mtl_zoo::Problem;
use mtl_zoo::checkpoint::{CheckpointFolder, ExportFormat, ExportOptions, export};
use mtl_zoo::recipe::{CheckpointDtype, Pooling};
use serde_json::{Value, json};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo export runs/sentiment/checkpoint --head amazon --format transformers --out amazon-model
  mtl-zoo export runs/sentiment/checkpoint --format sentence-transformers --out encoder
  mtl-zoo export runs/nli/checkpoint --format transformers --dtype f16 --out nli-f16

Heads with pooling mean or max have no class in transformers: their folder brings its own, and
Python needs trust_remote_code=True. All others open with transformers' standard classes.";

/// Turn a checkpoint into a folder that another library opens.
///
/// The folder is there entirely or not at all. An older export in its place is replaced; anything else is left alone and
/// refused.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// Folder of a checkpoint, or its Hub id.
    checkpoint: String,
    /// Layout of the folder.
    #[arg(long, value_enum)]
    format: Format,
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The head to export; may be left out where there is one only. For sentence-transformers: take its pooling.
    #[arg(long, value_name = "HEAD")]
    head: Option<String>,
    /// For sentence-transformers: how token states become one; as the heads do without it.
    #[arg(long, value_enum, value_name = "POOLING")]
    pooling: Option<PoolingArg>,
    /// Number format of the tensors; as the checkpoint has them without it.
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<Dtype>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One head for AutoModelForSequenceClassification or AutoModelForTokenClassification.
    Transformers,
    /// The encoder with a pooling for SentenceTransformer, without heads.
    SentenceTransformers,
    /// Not written here: says how Python makes it.
    Onnx,
}

#[derive(Clone, Copy, ValueEnum)]
enum PoolingArg {
    Cls,
    Mean,
    Max,
    Pooler,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Export {
    pub fn run(self) -> Result<()> {
        let format = match self.format {
            Format::Transformers => ExportFormat::Transformers,
            Format::SentenceTransformers => ExportFormat::SentenceTransformers,
            Format::Onnx => return Err(no_onnx(&self)),
        };
        let files = sources::checkpoint(&self.checkpoint)?;
        let checkpoint = CheckpointFolder::open(&files.folder)?;
        if let Some(head) = &self.head {
            sources::check_head(head, &checkpoint.manifest.heads.keys().map(String::as_str).collect::<Vec<_>>())?;
        }
        let options = ExportOptions {
            head: self.head,
            pooling: self.pooling.map(|pooling| match pooling {
                PoolingArg::Cls => Pooling::Cls,
                PoolingArg::Mean => Pooling::Mean,
                PoolingArg::Max => Pooling::Max,
                PoolingArg::Pooler => Pooling::Pooler,
            }),
            dtype: self.dtype.map(|dtype| match dtype {
                Dtype::F32 => CheckpointDtype::F32,
                Dtype::F16 => CheckpointDtype::F16,
                Dtype::Bf16 => CheckpointDtype::Bf16,
            }),
            ..ExportOptions::new(format)
        };
        let exported = export(&checkpoint, &self.out, &options)?;
        exported.notes.iter().for_each(|note| output::note(format_args!("note: {note}")));
        if self.json {
            let mut document = json!({"folder": self.out});
            if let (Value::Object(document), Value::Object(exported)) = (&mut document, json!(exported)) {
                document.extend(exported);
            }
            return output::print_json(&document);
        }
        let what = match &exported.head {
            Some(head) => format!("head {head}"),
            None => "the encoder".into(),
        };
        Ok(output::print(format_args!(
            "{}: {what} for {}, {} files; README.md shows how to open it",
            quoted(&self.out),
            exported.class,
            exported.files.len(),
        ))?)
    }
}

/// ONNX needs a writer of graphs, and Rust has none that is kept up and knows transformers; Python has.
fn no_onnx(export: &Export) -> anyhow::Error {
    let (checkpoint, out) = (&export.checkpoint, quoted(&export.out));
    let head = export.head.as_ref().map(|head| format!(" --head {head}")).unwrap_or_default();
    let help = format!(
        "export for transformers, then convert that folder with Python's optimum: `mtl-zoo export {checkpoint}{head} \
         --format transformers --out model`, `optimum-cli export onnx --model model {out}` (and --trust-remote-code where \
         the export says so)"
    );
    let found = "onnx, which this program does not write: Rust has no maintained writer of ONNX models";
    Problem::new(found, "transformers or sentence-transformers", help).key("--format").argument().into()
}
