//! `mtl-zoo push`

use super::{output, sources};
use anyhow::Result;
use mtl_zoo::checkpoint::{Publish, publish};
use mtl_zoo::hub::PushOptions;
use serde_json::json;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo push runs/sentiment/checkpoint me/sentiment
  mtl-zoo push runs/sentiment/checkpoint me/sentiment --private --message \"three epochs\"
  mtl-zoo push runs/sentiment/checkpoint me/sentiment-heads --heads-only --head amazon

The token comes from HF_TOKEN, or from the file that Python's `hf auth login` writes.";

/// Publish a checkpoint on the Hub.
///
/// The checkpoint is verified first. The repository is made if there is none; all files go into one commit, and the Hub's own listing is
/// compared with what was sent.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Push {
    /// Folder of the checkpoint, or of the run that made it.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: String,
    /// Where to: OWNER/NAME.
    #[arg(value_name = "REPO")]
    id: String,
    /// Push the heads without the backbone, which the manifest names: a few kilobytes. `mtl-zoo merge` puts them on it.
    #[arg(long)]
    heads_only: bool,
    /// Of these heads; may be given several times [default: all].
    #[arg(long = "head", value_name = "HEAD", requires = "heads_only")]
    heads: Vec<String>,
    /// Make the repository private, if it is made now.
    #[arg(long)]
    private: bool,
    /// Message of the commit.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Branch, which is made if there is none [default: main].
    #[arg(long, value_name = "BRANCH")]
    revision: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Push {
    pub fn run(self) -> Result<()> {
        let folder = sources::checkpoint_folder(&self.checkpoint);
        let options = PushOptions {
            private: self.private,
            message: self.message,
            revision: self.revision,
            ..PushOptions::default()
        };
        let heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        let what = if self.heads_only { Publish::Heads(&heads) } else { Publish::Whole };
        let pushed = publish(Path::new(&folder), what, &self.id, &options, &sources::showing("uploading"))?;
        if self.json {
            return output::print_json(&json!({
                "id": pushed.id,
                "revision": pushed.revision,
                "commit": pushed.commit,
                "url": pushed.url,
            }));
        }
        output::print(&pushed.url)?;
        output::print(format_args!("commit: {}", pushed.commit))?;
        output::note("pushed. Anyone with access can use it:");
        match self.heads_only {
            true => output::note(format_args!("  mtl-zoo merge {} --out CHECKPOINT", pushed.id)),
            false => output::note(format_args!("  mtl-zoo predict {} \"some text\"", pushed.id)),
        }
        Ok(())
    }
}
