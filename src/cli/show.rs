//! `mtl-zoo show`

use super::{inspect, output};
use mtl_zoo::Problem;
use mtl_zoo::catalog::Catalog;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo show sentiment > my.toml            a recipe to begin your own with
  mtl-zoo show vader-tweets                   a task card
  mtl-zoo show runs/sentiment/checkpoint      the same as `mtl-zoo inspect`";

/// Print a card or recipe of the zoo, or describe a checkpoint.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// Name of a card (see `mtl-zoo list`), or a checkpoint's folder.
    name: String,
}

impl Show {
    pub fn run(self) -> anyhow::Result<()> {
        let catalog = Catalog::standard()?;
        if let Some((_, card)) = catalog.find(&self.name) {
            return Ok(output::print(card.text.trim_end())?);
        }
        if Path::new(&self.name).exists() || self.name.contains('/') {
            return inspect::Inspect::new(self.name).run();
        }
        let help = match catalog.suggest(&self.name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`mtl-zoo list` shows every name".into(),
        };
        let found = format!("`{}`, which is no card", self.name);
        Err(Problem::new(found, "the name of a card, or a checkpoint", help).key("NAME").argument().into())
    }
}
