//! `mtl-zoo show`

use super::list::NOT_VERIFIED;
use super::{inspect, output};
use mtl_zoo::Problem;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::checkpoint::ZOO;
use mtl_zoo::recipe::CardKind;
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
    /// Name of a card (see `mtl-zoo list`), a checkpoint's folder, or `zoo:` and the name of a published checkpoint.
    name: String,
}

impl Show {
    pub fn run(self) -> anyhow::Result<()> {
        let catalog = Catalog::standard()?;
        if let Some((kind, card)) = catalog.find(&self.name) {
            output::print(card.text.trim_end())?;
            if is_unverified(&catalog, kind, &self.name) {
                output::print(format_args!("\n# not verified: {NOT_VERIFIED}"))?;
            }
            return Ok(());
        }
        if Path::new(&self.name).exists() || self.name.contains('/') || self.name.starts_with(ZOO) {
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

/// Whether a card says of itself that it is not verified; not one that cannot be read.
fn is_unverified(catalog: &Catalog, kind: CardKind, name: &str) -> bool {
    match kind {
        CardKind::Backbone => catalog.backbone(name).is_ok_and(|card| card.is_some_and(|card| !card.verified)),
        CardKind::Task => catalog.task(name).is_ok_and(|card| card.is_some_and(|card| !card.verified)),
        CardKind::Recipe => false,
        CardKind::Checkpoint => catalog.checkpoint(name).is_ok_and(|card| card.is_some_and(|card| !card.verified)),
    }
}
