//! Any text is a recipe or a refusal that says what to do; a recipe that was read is written and read as itself.
//!
//! Lines that start with `#set ` are arguments of `--set`: comments to TOML, so that each seed is a plain recipe.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::recipe::{Cards, Override, Recipe, RecipeSource};
use mtl_zoo::{Error, Result};
use std::sync::LazyLock;

static CARDS: LazyLock<Catalog> = LazyLock::new(Catalog::built_in);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let overrides = text.lines().filter_map(|line| line.strip_prefix("#set ")).map(Override::parse);
    let overrides: Vec<_> = overrides.filter_map(refused).collect();
    for cards in [&*CARDS as &dyn Cards, &()] {
        let Some(recipe) = refused(load(text, &overrides, cards)) else { continue };
        recipe.validate().expect("what was loaded is valid");
        let written = recipe.to_toml();
        let again = load(&written, &[], &()).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(recipe, again, "{written}");
        assert_eq!(written, again.to_toml());
    }
});

fn load(text: &str, overrides: &[Override], cards: &dyn Cards) -> Result<Recipe> {
    Recipe::load(RecipeSource::Text { name: "fuzz.toml", text, folder: "/data".into() }, overrides, cards)
}

fn refused<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error: Error| assert!(error.to_string().contains("\n  help: "), "{error}")).ok()
}
