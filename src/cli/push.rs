//! `mtl-zoo push`

use super::{output, sources};
use anyhow::Result;
use mtl_zoo::checkpoint::{CheckpointFolder, Publication, publish};
use mtl_zoo::hub::PushOptions;
use mtl_zoo::report;
use serde_json::json;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  mtl-zoo push runs/sentiment/checkpoint me/sentiment
  mtl-zoo push runs/sentiment/checkpoint me/sentiment --private --message \"three epochs\"
  mtl-zoo push runs/sentiment/checkpoint me/sentiment --study studies/sentiment
  mtl-zoo push runs/sentiment/checkpoint me/sentiment-heads --heads-only --head amazon
  mtl-zoo push runs/sentiment/checkpoint --out to-look-at

The token comes from HF_TOKEN, or from the file that Python's `hf auth login` writes.";

/// Publish a checkpoint on the Hub.
///
/// The checkpoint is verified first. The repository is made if there is none; all files go into one commit, and the Hub's own listing is
/// compared with what was sent.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Push {
    /// Folder of the checkpoint, or of the run that made it; also a Hub id, or `zoo:` and a name.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: String,
    /// Where to: OWNER/NAME.
    #[arg(value_name = "REPO", required_unless_present = "out")]
    id: Option<String>,
    /// Write what would be published to this folder instead, and push nothing.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["id", "private", "message", "revision"])]
    out: Option<PathBuf>,
    /// Say in the model card what sharing did to each task, from the study in this folder.
    #[arg(long, value_name = "FOLDER")]
    study: Option<PathBuf>,
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
        let options = PushOptions {
            private: self.private,
            message: self.message,
            revision: self.revision,
            ..PushOptions::default()
        };
        let folder = &sources::checkpoint(&self.checkpoint)?.folder;
        let heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        let sharing = self.study.as_deref().map(|study| findings(study, folder, &heads)).transpose()?;
        let publication = Publication { heads: self.heads_only.then_some(&heads), sharing: sharing.as_deref() };
        let id = match (&self.out, &self.id) {
            (None, Some(id)) => id,
            (Some(out), _) => return write(&publication, folder, out, self.json),
            (None, None) => unreachable!("the command line asks for one of them"),
        };
        let pushed = publish(folder, &publication, id, &options, &sources::showing("uploading"))?;
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

/// What the study says about the checkpoint's tasks, those of `heads` if any are named.
fn findings(study: &Path, checkpoint: &Path, heads: &[&str]) -> Result<String> {
    let manifest = CheckpointFolder::manifest(checkpoint)?;
    let chosen = |task: &&str| heads.is_empty() || heads.contains(task);
    let tasks: Vec<&str> = manifest.heads.keys().map(String::as_str).filter(chosen).collect();
    let method = manifest.balance["method"].as_str();
    Ok(report::card_section(&report::read(study)?, &tasks, method)?)
}

/// Writes to a folder what would be published.
fn write(publication: &Publication, checkpoint: &Path, out: &Path, json: bool) -> Result<()> {
    let manifest = publication.write(checkpoint, out)?;
    if json {
        return output::print_json(&json!({"folder": out, "heads": manifest.heads.keys().collect::<Vec<_>>()}));
    }
    output::note("nothing was pushed; this is what would be:");
    Ok(output::print(out.display())?)
}
