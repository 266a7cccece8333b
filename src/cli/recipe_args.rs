//! Arguments that say what is trained: a recipe and what is changed in it.

use super::{argument, quoted};
use anyhow::Result;
use clap::ValueEnum;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::recipe::{Override, Recipe, RecipeSource};
use mtl_zoo::train::RECIPE_FILE;
use mtl_zoo::{Error, Problem};
use std::path::{Path, PathBuf};

/// A recipe and what is changed in it.
#[derive(clap::Args)]
pub struct RecipeArgs {
    /// Recipe file, or the name of a recipe card (see `mtl-zoo list recipes`).
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// With a recipe, the tasks of it to train; without, task cards (see `mtl-zoo list tasks`).
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    tasks: Vec<String>,
    /// Pretrained encoder: a card's name, a folder or a Hub id.
    #[arg(long, value_name = "ID", env = "MTL_ZOO_BACKBONE")]
    backbone: Option<String>,
    /// Balancing method: how task losses are combined (`mtl-zoo list balance`); parameters by
    /// `--set balance.NAME=VALUE`.
    #[arg(long, value_name = "METHOD", env = "MTL_ZOO_BALANCE")]
    balance: Option<String>,
    /// Number format of the products: bf16 is about twice as fast on processors that have it; f16 is for CUDA cards that have no
    /// bf16.
    #[arg(long, value_name = "FORMAT", env = "MTL_ZOO_DTYPE")]
    dtype: Option<Dtype>,
    /// Seed of heads, sampling and dropout. Same seed, same machine, same threads: same bytes.
    #[arg(long, value_name = "N", env = "MTL_ZOO_SEED", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// Threads; all cores by default.
    #[arg(long, value_name = "N", env = "MTL_ZOO_THREADS", allow_negative_numbers = true)]
    threads: Option<i64>,
    /// Replace any value of the recipe; may be given several times.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    overrides: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl RecipeArgs {
    /// Folder of the recipe's file, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.recipe.as_deref().and_then(Path::parent)
    }

    /// The recipe with all of this.
    pub fn load(&self, catalog: &Catalog) -> Result<Recipe> {
        let source = match (&self.recipe, self.tasks.as_slice()) {
            (None, []) => {
                let help = "`mtl-zoo finetune sentiment`, `mtl-zoo finetune my.toml` or `mtl-zoo finetune --tasks \
                            vader-amazon,vader-tweets`; `mtl-zoo list` shows what there is";
                return Err(argument("no recipe and no `--tasks`", "one of the two", help, "RECIPE"));
            }
            (Some(file), _) if file.is_dir() => {
                let help = match file.join(RECIPE_FILE).is_file() {
                    true => format!("to go on with this run: `--resume {}`", quoted(file)),
                    false => "name the recipe's file in it".into(),
                };
                return Err(Problem::new("a folder", "a recipe file", help).file(file).key("RECIPE").argument().into());
            }
            (Some(file), _) => RecipeSource::File(file),
            (None, names) => RecipeSource::Tasks { names, folder: ".".into() },
        };
        let mut recipe = Recipe::load(source, &self.overrides()?, catalog)?;
        if self.recipe.is_some() && !self.tasks.is_empty() {
            recipe.keep_tasks(&self.tasks)?;
        }
        Ok(recipe)
    }

    /// The flags first, so that `--set` wins over what may come from the environment.
    fn overrides(&self) -> Result<Vec<Override>, Error> {
        let text = |path, value: &Option<String>, flag| value.clone().map(|value| Override::new(path, value, flag));
        let number = |path, value: Option<i64>, flag| value.map(|value| Override::new(path, value, flag));
        let flags = [
            text("backbone.id", &self.backbone, "--backbone"),
            text("balance.method", &self.balance, "--balance"),
            text("training.dtype", &self.dtype.map(|dtype| dtype.name().to_owned()), "--dtype"),
            number("training.seed", self.seed, "--seed"),
            number("training.threads", self.threads, "--threads"),
        ];
        let set = self.overrides.iter().map(|text| Override::parse(text));
        flags.into_iter().flatten().map(Ok).chain(set).collect()
    }

    /// An error with the recipe's file: what a recipe asks of its data and backbone is found out after the recipe itself was read.
    pub fn name(&self, error: anyhow::Error) -> anyhow::Error {
        match (error.downcast_ref(), &self.recipe) {
            (Some(Error::Recipe(_)), Some(file)) => error.context(file.display().to_string()),
            _ => error,
        }
    }
}
