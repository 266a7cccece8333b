//! `mtl-zoo pull`

use super::{merge, output, sources};
use anyhow::Result;
use mtl_zoo::hub::{RepoKind, pull};
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo pull google-bert/bert-base-uncased
  mtl-zoo pull org/name@v1.0 --json
  mtl-zoo pull --dataset org/name --include 'data/*.parquet'
  mtl-zoo pull org/name --head mood --out mood

Files lie in the cache that Python shares (HF_HOME); a broken download goes on where it stopped.";

/// Download a backbone, a checkpoint or a data set from the Hub, and print where its files lie.
///
/// What a model repository holds is known by its files, and only those are downloaded that mtl-zoo reads. Every file is checked
/// against its hash before it appears in the cache.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Pull {
    /// Hub id, also with a branch, tag or commit: OWNER/NAME or OWNER/NAME@REVISION.
    #[arg(value_name = "REPO")]
    id: String,
    /// The repository is a data set.
    #[arg(long)]
    dataset: bool,
    /// Only files whose path matches; may be given several times. `*` also matches `/`.
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Take only this head, on its backbone, into a checkpoint of its own at --out; may be given several times.
    #[arg(long = "head", value_name = "HEAD", requires = "out", conflicts_with_all = ["dataset", "include"])]
    heads: Vec<String>,
    /// Folder of the checkpoint with the chosen heads.
    #[arg(long, value_name = "FOLDER", requires = "heads")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Pull {
    pub fn run(self) -> Result<()> {
        if let Some(out) = &self.out {
            return merge::put_together(&[self.id], &self.heads, out, self.json);
        }
        let kind = if self.dataset { RepoKind::Dataset } else { RepoKind::Model };
        let pulled = pull(&self.id, kind, &self.include, &sources::options())?;
        if self.json {
            return output::print_json(&json!({
                "kind": pulled.what,
                "id": pulled.id,
                "commit": pulled.commit,
                "folder": pulled.folder,
                "files": pulled.files,
            }));
        }
        output::note(format_args!("{} {} at commit {}", pulled.what, pulled.id, pulled.commit));
        // A backbone or checkpoint is used as a folder, data by its files.
        match self.dataset || !self.include.is_empty() {
            true => pulled.files.iter().try_for_each(|file| output::print(pulled.folder.join(file).display()))?,
            false => output::print(pulled.folder.display())?,
        }
        Ok(())
    }
}
