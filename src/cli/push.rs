//! `mtl-zoo push`

use super::{output, sources};
use anyhow::Result;
use mtl_zoo::checkpoint::publish;
use mtl_zoo::hub::PushOptions;
use serde_json::json;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo push runs/sentiment/checkpoint me/sentiment
  mtl-zoo push runs/sentiment/checkpoint me/sentiment --private --message \"three epochs\"

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
        let pushed = publish(Path::new(&folder), &self.id, &options, &sources::showing("uploading"))?;
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
        output::note(format_args!("  mtl-zoo predict {} \"some text\"", pushed.id));
        Ok(())
    }
}
