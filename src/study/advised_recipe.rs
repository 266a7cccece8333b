//! Recipes with the changes that a study advises.

use super::Changes;
use crate::error::Result;
use crate::recipe::{Balance, Recipe};

impl Changes {
    /// The recipe with these changes: one, or one for each group of tasks.
    ///
    /// # Errors
    /// If what is left is no recipe.
    pub fn apply(&self, recipe: &Recipe) -> Result<Vec<Recipe>> {
        let groups = match &self.groups[..] {
            [] => vec![recipe.tasks.keys().cloned().collect()],
            groups => groups.to_vec(),
        };
        let keep = |group: &Vec<String>| -> Vec<String> {
            group.iter().filter(|task| !self.drop.contains(task)).cloned().collect()
        };
        let changed = |tasks: Vec<String>| {
            let mut recipe = recipe.clone();
            if let Some(method) = &self.method {
                recipe.balance = match &self.weights {
                    Some(weights) => Balance::fixed(weights.clone()),
                    None => Balance::new(method),
                };
            }
            recipe.keep_tasks(&tasks)?;
            Ok(recipe)
        };
        groups.iter().map(keep).filter(|tasks| !tasks.is_empty()).map(changed).collect()
    }
}
