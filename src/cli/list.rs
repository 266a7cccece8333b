//! `mtl-zoo list`

use super::output;
use clap::ValueEnum;
use mtl_zoo::balance;
use mtl_zoo::catalog::Catalog;
use mtl_zoo::recipe::Parameter;
use serde_json::{Map, Value, json};

const EXAMPLES: &str = "\
Examples:
  mtl-zoo list                    everything
  mtl-zoo list tasks              what `finetune --tasks` takes
  mtl-zoo list balance            balancing methods: what they read, where they are from, what they cost
  mtl-zoo list balance --json     the same with their parameters, as an array";

/// List what there is: backbones, tasks, recipes, checkpoints, kinds of heads, balancing methods.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// What to list; everything if left out.
    what: Option<What>,
    /// Print one JSON document: an array of objects, or an object of such arrays if everything is listed.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    /// Pretrained encoders that have a card; any Hub id of the same family works too.
    Backbones,
    /// Data sets with head, loss and metrics.
    Tasks,
    /// Whole recipes, ready for `mtl-zoo finetune NAME`.
    Recipes,
    /// Published checkpoints: `mtl-zoo predict zoo:NAME "some text"`.
    Checkpoints,
    /// What a task's `type` can be.
    Heads,
    /// What a recipe's `balance.method` can be.
    Balance,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Backbones => "backbones",
            Self::Tasks => "tasks",
            Self::Recipes => "recipes",
            Self::Checkpoints => "checkpoints",
            Self::Heads => "heads",
            Self::Balance => "balance",
        }
    }
}

/// What it means that a card is not verified.
pub const NOT_VERIFIED: &str =
    "id, revision, files and licence were not checked against the Hub; docs/cards.md says how to";

/// Kinds of heads and what they answer.
const HEADS: [(&str, &str); 4] = [
    ("classification", "one of several labels, of a text or a sentence pair"),
    ("multi_label", "any number of several labels, of a text or a sentence pair"),
    ("regression", "a number, of a text or a sentence pair"),
    ("token_classification", "a tag for every word"),
];

impl List {
    pub fn run(self) -> anyhow::Result<()> {
        let catalog = Catalog::standard()?;
        let wanted = |what: &What| self.what.is_none_or(|wanted| wanted == *what);
        let lists: Vec<(What, Vec<Value>)> =
            What::value_variants().iter().copied().filter(wanted).map(|what| (what, entries(what, &catalog))).collect();
        if self.json {
            let mut document: Map<String, Value> =
                lists.into_iter().map(|(what, entries)| (what.name().into(), entries.into())).collect();
            return match self.what {
                Some(what) => output::print_json(&document[what.name()].take()),
                None => output::print_json(&document),
            };
        }
        for (index, (what, entries)) in lists.iter().enumerate() {
            let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let (header, keys): (&[&str], &[&str]) = match what {
                What::Balance => {
                    (&["balance", "needs", "paper", "extra cost"], &["name", "needs", "paper", "extra_cost"])
                }
                What::Backbones | What::Tasks | What::Checkpoints => {
                    (&[what.name(), "verified", ""], &["name", "verified", "description"])
                }
                What::Recipes | What::Heads => (&[what.name(), ""], &["name", "description"]),
            };
            let cell = |entry: &Value, key: &&str| match *key {
                "paper" => cited(&text(entry, "paper")),
                "verified" => entry["verified"].as_bool().map_or("", |yes| if yes { "yes" } else { "no" }).into(),
                key => text(entry, key),
            };
            let rows: Vec<_> = entries.iter().map(|entry| keys.iter().map(|key| cell(entry, key)).collect()).collect();
            let space = if index > 0 { "\n" } else { "" };
            output::print(format_args!("{space}{}", output::table(header, &rows)))?;
            if entries.iter().any(|entry| entry["verified"] == false) {
                output::print(format_args!("verified no: {NOT_VERIFIED}"))?;
            }
        }
        Ok(())
    }
}

fn entries(what: What, catalog: &Catalog) -> Vec<Value> {
    let fixed =
        |all: &[(&str, &str)]| all.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    // A card that cannot be read is listed with what is wrong with it.
    let card = |name: &str, card: Result<Value, mtl_zoo::Error>| {
        let mut card = card.unwrap_or_else(|error| json!({"description": error.to_string()}));
        card["name"] = name.into();
        card
    };
    match what {
        What::Backbones => {
            catalog.backbones().map(|(name, found)| card(name, found.map(|found| json!(found)))).collect()
        }
        What::Tasks => catalog.tasks().map(|(name, found)| card(name, found.map(|found| json!(found)))).collect(),
        What::Checkpoints => {
            catalog.checkpoints().map(|(name, found)| card(name, found.map(|found| json!(found)))).collect()
        }
        What::Recipes => catalog
            .recipes()
            .map(|(name, source)| json!({"name": name, "description": first_comment(&source.text)}))
            .collect(),
        What::Heads => fixed(&HEADS),
        What::Balance => balance::methods().iter().map(balancing_method).collect(),
    }
}

fn balancing_method(entry: &balance::Entry) -> Value {
    let known = entry.known();
    let parameter = |parameter: &Parameter| {
        json!({
            "name": parameter.name,
            "kind": parameter.kind_name(),
            "default": parameter.default_value(),
            "expected": parameter.expected(),
            "meaning": parameter.meaning,
        })
    };
    json!({
        "name": entry.name,
        "needs": entry.needs.name(),
        "paper": entry.paper,
        "extra_cost": entry.cost,
        "summary": known.summary,
        "parameters": known.parameters.iter().map(parameter).collect::<Vec<_>>(),
    })
}

/// Authors, year and place of a paper, without its title.
fn cited(paper: &str) -> String {
    let authors = paper.split(',').next().unwrap_or_default();
    let place = paper.rfind('(').map_or("", |at| &paper[at..]);
    format!("{authors} {place}")
}

/// The comment at the top of a recipe, up to its first empty line.
fn first_comment(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtl_zoo::recipe::{CardKind, Cards, TaskType};

    #[test]
    fn every_kind_is_listed() {
        let kinds =
            [TaskType::Classification, TaskType::MultiLabel, TaskType::Regression, TaskType::TokenClassification];
        assert_eq!(HEADS.map(|(name, _)| name), kinds.map(TaskType::name));
        let catalog = Catalog::built_in();
        for kind in CardKind::ALL {
            let what = What::value_variants().iter().find(|what| what.name() == kind.folder()).unwrap();
            let names: Vec<_> =
                entries(*what, &catalog).iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(names, catalog.names(kind));
            assert!(entries(*what, &catalog).iter().all(|entry| entry["description"].as_str() != Some("")));
        }
    }

    #[test]
    fn papers_are_cited_without_their_title() {
        assert_eq!(cited("Sener & Koltun 2018, A Title, in Parts (arXiv:1)"), "Sener & Koltun 2018 (arXiv:1)");
        for method in entries(What::Balance, &Catalog::built_in()) {
            let paper = cited(method["paper"].as_str().unwrap());
            assert!(paper.ends_with(')') && paper.len() < 50, "{paper}");
        }
    }
}
