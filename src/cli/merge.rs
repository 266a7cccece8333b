//! `mtl-zoo merge`

use super::{output, sources};
use anyhow::Result;
use mtl_zoo::checkpoint::pieces::{Piece, TrunkSource, merge};
use serde_json::json;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  mtl-zoo merge runs/mood/checkpoint runs/topic/checkpoint --out both    two runs over the same frozen backbone
  mtl-zoo merge runs/mood/checkpoint org/topic-heads --out both          heads that lie on the Hub without a backbone
  mtl-zoo merge org/topic-heads --out topic                              those heads on the backbone that they name";

/// Put heads of several checkpoints on one backbone.
///
/// Works for heads over the very same backbone, which is told by the hash of its numbers: heads that were trained with
/// `backbone.freeze = \"all\"`, or later than the rest on a checkpoint that stayed as it was. They answer as before.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Merge {
    /// Folders or Hub ids of checkpoints, or of heads without their backbone.
    #[arg(required = true)]
    checkpoints: Vec<String>,
    /// Folder of the new checkpoint.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Take only this head; may be given several times.
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Merge {
    pub fn run(self) -> Result<()> {
        put_together(&self.checkpoints, &self.heads, &self.out, self.json)
    }
}

/// Puts heads of checkpoints, or of folders of heads, on the backbone that they have or name.
pub fn put_together(checkpoints: &[String], heads: &[String], out: &Path, json: bool) -> Result<()> {
    let mut pieces = Vec::new();
    for id in checkpoints {
        pieces.push(Piece::open(&sources::pieces(id)?.folder)?);
    }
    let whole = pieces.iter().find_map(|piece| match piece {
        Piece::Checkpoint(checkpoint) => Some(checkpoint),
        Piece::Heads(_) => None,
    });
    let trunk = match whole {
        Some(checkpoint) => TrunkSource::checkpoint(checkpoint)?,
        None => {
            let backbone = &pieces[0].manifest().backbone;
            let catalog = mtl_zoo::catalog::Catalog::standard()?;
            let files = sources::backbone(&catalog, &backbone.id, backbone.revision.as_deref(), Path::new("."))?;
            TrunkSource::backbone(&files)?
        }
    };
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let manifest = merge(&trunk, &pieces, &heads, out)?;
    if json {
        return output::print_json(&json!({"checkpoint": out, "heads": manifest.heads.keys().collect::<Vec<_>>()}));
    }
    output::note(format_args!("heads: {}", manifest.heads.keys().cloned().collect::<Vec<_>>().join(", ")));
    Ok(output::print(format_args!("checkpoint: {}", out.display()))?)
}
