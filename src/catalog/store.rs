//! All cards by name.

use super::built_in::{self, Texts};
use super::bundled;
use super::cards::{BackboneCard, CheckpointCard, ModelSource, TaskCard};
use super::validate;
use crate::error::{IoContext, Problem, Result};
use crate::recipe::document::Document;
use crate::recipe::suggest::{did_you_mean, list, nearest};
use crate::recipe::validate::Check;
use crate::recipe::{Base, CardKind, Cards, Recipe, RecipeSource, SourceFile, explain};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of a user's own cards.
const VARIABLE: &str = "MTL_ZOO_CARDS";

/// The cards that are compiled in and a user's own.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    backbones: BTreeMap<String, SourceFile>,
    tasks: BTreeMap<String, SourceFile>,
    recipes: BTreeMap<String, SourceFile>,
    checkpoints: BTreeMap<String, SourceFile>,
}

impl Catalog {
    /// The cards that are compiled in, and the user's own.
    ///
    /// # Errors
    /// When `MTL_ZOO_CARDS` names no folder, or a card cannot be read. What a card says is checked when it is used.
    pub fn standard() -> Result<Self> {
        let mut catalog = Self::built_in();
        match std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
            Some(folder) => {
                let folder = PathBuf::from(folder);
                if !folder.is_dir() {
                    let found = format!("{VARIABLE}={}", folder.display());
                    let help = format!("make the folder, or unset {VARIABLE}");
                    return Err(Problem::new(found, "a folder with cards", help).argument());
                }
                catalog.add_folder(&folder)?;
            }
            None => {
                let configured =
                    std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
                let configured = configured.or_else(|| Some(std::env::home_dir()?.join(".config")));
                if let Some(configured) = configured {
                    catalog.add_folder(&configured.join("mtl-zoo/cards"))?;
                }
            }
        }
        Ok(catalog)
    }

    /// The cards that are compiled in.
    pub fn built_in() -> Self {
        let sources = |kind: CardKind, texts: Texts| {
            let source = |&(name, text): &(&str, &'static str)| {
                let shown = format!("zoo/{}/{name}.toml (built in)", kind.folder()).into();
                (name.to_owned(), SourceFile { shown, text: text.into(), base: Base::BuiltIn })
            };
            texts.iter().map(source).collect()
        };
        Self {
            backbones: sources(CardKind::Backbone, built_in::BACKBONES),
            tasks: sources(CardKind::Task, built_in::TASKS),
            recipes: sources(CardKind::Recipe, built_in::RECIPES),
            checkpoints: sources(CardKind::Checkpoint, built_in::CHECKPOINTS),
        }
    }

    /// Adds the cards of a folder with a folder for each kind, such as `backbones/`; they replace cards of the same names.
    ///
    /// # Errors
    /// When a folder or card cannot be read. A folder that does not exist holds no cards.
    pub fn add_folder(&mut self, folder: &Path) -> Result<()> {
        for kind in CardKind::ALL {
            let folder = folder.join(kind.folder());
            if !folder.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(&folder).at("read", &folder)? {
                let path = entry.at("read", &folder)?.path();
                let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
                if path.extension().is_none_or(|extension| extension != "toml") || !path.is_file() {
                    continue;
                }
                let text = std::fs::read_to_string(&path).at("read", &path)?;
                let base = Base::Folder(folder.clone());
                let source = SourceFile { shown: path.clone(), text: text.into(), base };
                self.cards_mut(kind).insert(name.to_owned(), source);
            }
        }
        Ok(())
    }

    /// The backbone card of that name, if there is one.
    ///
    /// # Errors
    /// When the card is not what a backbone card should be.
    pub fn backbone(&self, name: &str) -> Result<Option<BackboneCard>> {
        self.backbones.get(name).map(|source| read_backbone(name, source)).transpose()
    }

    /// The task card of that name, if there is one.
    ///
    /// # Errors
    /// When the card is not what a task card should be. Its `[task]` is checked when a recipe takes it.
    pub fn task(&self, name: &str) -> Result<Option<TaskCard>> {
        self.tasks.get(name).map(|source| read_task(name, source)).transpose()
    }

    /// The card of the published checkpoint of that name, if there is one.
    ///
    /// # Errors
    /// When the card is not what a checkpoint's card should be.
    pub fn checkpoint(&self, name: &str) -> Result<Option<CheckpointCard>> {
        self.checkpoints.get(name).map(|source| read_checkpoint(name, source)).transpose()
    }

    /// The text of the recipe card of that name, if there is one.
    pub fn recipe(&self, name: &str) -> Option<&SourceFile> {
        self.recipes.get(name)
    }

    /// All backbone cards by name; each may be unreadable for itself.
    pub fn backbones(&self) -> impl Iterator<Item = (&str, Result<BackboneCard>)> {
        self.backbones.iter().map(|(name, source)| (name.as_str(), read_backbone(name, source)))
    }

    /// All task cards by name; each may be unreadable for itself.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, Result<TaskCard>)> {
        self.tasks.iter().map(|(name, source)| (name.as_str(), read_task(name, source)))
    }

    /// All cards of published checkpoints by name; each may be unreadable for itself.
    pub fn checkpoints(&self) -> impl Iterator<Item = (&str, Result<CheckpointCard>)> {
        self.checkpoints.iter().map(|(name, source)| (name.as_str(), read_checkpoint(name, source)))
    }

    /// The texts of all recipe cards by name.
    pub fn recipes(&self) -> impl Iterator<Item = (&str, &SourceFile)> {
        self.recipes.iter().map(|(name, source)| (name.as_str(), source))
    }

    /// The first card of that name among backbones, tasks, recipes and checkpoints.
    pub fn find(&self, name: &str) -> Option<(CardKind, &SourceFile)> {
        CardKind::ALL.into_iter().find_map(|kind| Some((kind, self.card(kind, name)?)))
    }

    /// The name of a card of any kind that is close to a misspelt one.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        nearest(name, CardKind::ALL.into_iter().flat_map(|kind| self.cards(kind).keys().map(String::as_str)))
    }

    /// Checks every card: what it says, that a recipe of each task can be made, and that each recipe resolves. Nothing is
    /// downloaded, and no file of data is opened.
    ///
    /// # Errors
    /// The first card that is not what it should be.
    pub fn validate(&self) -> Result<()> {
        self.backbones().try_for_each(|(_, card)| card.map(drop))?;
        self.checkpoints().try_for_each(|(_, card)| card.map(drop))?;
        for (name, card) in self.tasks() {
            let card = card?;
            // The rest of a task may be left to the recipe that takes the card.
            if ["type", "train"].iter().all(|key| card.task.contains_key(*key)) {
                Recipe::load(RecipeSource::Tasks { names: &[name.to_owned()], folder: ".".into() }, &[], self)?;
            }
        }
        let recipes = self.recipes.keys();
        recipes.map(Path::new).try_for_each(|name| Recipe::load(RecipeSource::File(name), &[], self).map(drop))
    }

    /// Where the files of a recipe's backbone are: `id` is a card's name, a folder, or a Hub id. A revision given here
    /// wins over the card's. `near` is where the bundled folder is sought first.
    ///
    /// # Errors
    /// When the card is not what it should be, or the bundled folder is nowhere.
    pub fn backbone_source(&self, id: &str, revision: Option<&str>, near: &Path) -> Result<ModelSource> {
        let revision = revision.map(str::to_owned);
        let Some(source) = self.backbones.get(id) else {
            let folder = Path::new(id);
            return Ok(if is_folder(id) || folder.join("config.json").is_file() {
                ModelSource::Folder(folder.to_owned())
            } else {
                ModelSource::Hub { id: id.to_owned(), revision }
            });
        };
        let card = read_backbone(id, source)?;
        place(card.id, revision.or(card.revision), source, near)
    }

    /// Where the files of a published checkpoint are. `near` is where the bundled folder is sought first.
    ///
    /// # Errors
    /// When there is no such card, it is not what it should be, or the bundled folder is nowhere.
    pub fn checkpoint_source(&self, name: &str, near: &Path) -> Result<ModelSource> {
        let Some(source) = self.checkpoints.get(name) else {
            let names = || self.checkpoints.keys().map(String::as_str);
            let help = did_you_mean(name, names(), "`mtl-zoo list checkpoints` shows what there is");
            let expected = format!("a published checkpoint: {}", list(names()));
            return Err(Problem::new(format!("`zoo:{name}`"), expected, help).argument());
        };
        let card = read_checkpoint(name, source)?;
        place(card.id, card.revision, source, near)
    }

    fn cards(&self, kind: CardKind) -> &BTreeMap<String, SourceFile> {
        match kind {
            CardKind::Backbone => &self.backbones,
            CardKind::Task => &self.tasks,
            CardKind::Recipe => &self.recipes,
            CardKind::Checkpoint => &self.checkpoints,
        }
    }

    fn cards_mut(&mut self, kind: CardKind) -> &mut BTreeMap<String, SourceFile> {
        match kind {
            CardKind::Backbone => &mut self.backbones,
            CardKind::Task => &mut self.tasks,
            CardKind::Recipe => &mut self.recipes,
            CardKind::Checkpoint => &mut self.checkpoints,
        }
    }
}

impl Cards for Catalog {
    fn card(&self, kind: CardKind, name: &str) -> Option<&SourceFile> {
        self.cards(kind).get(name)
    }

    fn names(&self, kind: CardKind) -> Vec<&str> {
        self.cards(kind).keys().map(String::as_str).collect()
    }

    fn check(&self, kind: CardKind, name: &str) -> Result<()> {
        match kind {
            CardKind::Backbone => self.backbone(name).map(drop),
            CardKind::Task => self.task(name).map(drop),
            CardKind::Recipe => Ok(()),
            CardKind::Checkpoint => self.checkpoint(name).map(drop),
        }
    }

    fn bundled(&self, near: &Path) -> Result<PathBuf> {
        bundled::folder(near)
    }
}

pub(super) fn is_folder(id: &str) -> bool {
    Path::new(id).is_absolute() || [".", ".."].iter().any(|dots| Path::new(id).starts_with(dots))
}

/// Where a card's model is.
fn place(id: String, revision: Option<String>, card: &SourceFile, near: &Path) -> Result<ModelSource> {
    if !is_folder(&id) {
        return Ok(ModelSource::Hub { id, revision });
    }
    Ok(ModelSource::Folder(match (&card.base, id.strip_prefix("../bundled/")) {
        (Base::BuiltIn, Some(inside)) => bundled::folder(near)?.join(inside),
        (Base::BuiltIn, None) => id.into(),
        (Base::Folder(folder), _) => folder.join(id),
    }))
}

fn read_backbone(name: &str, source: &SourceFile) -> Result<BackboneCard> {
    read(source, |card| validate::backbone(name, card))
}

fn read_checkpoint(name: &str, source: &SourceFile) -> Result<CheckpointCard> {
    read(source, |card| validate::checkpoint(name, card))
}

fn read_task(name: &str, source: &SourceFile) -> Result<TaskCard> {
    read(source, |card| validate::task(name, card))
}

fn read<T: DeserializeOwned>(source: &SourceFile, check: impl Fn(&T) -> Check) -> Result<T> {
    let document = Document::parse(source)?;
    let card = explain::read(&document)?;
    check(&card).map_err(|invalid| invalid.located(&document))?;
    Ok(card)
}
