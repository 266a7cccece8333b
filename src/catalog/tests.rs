use super::hub_file;
use super::{Catalog, ModelSource};
use crate::recipe::{CardKind, Cards, Files, Recipe, RecipeSource};
use std::collections::HashSet;
use std::path::Path;

#[test]
fn every_file_of_the_zoo_is_compiled_in() {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo");
    let catalog = Catalog::built_in();
    for kind in CardKind::ALL {
        let files = std::fs::read_dir(zoo.join(kind.folder())).unwrap();
        let names = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(catalog.names(kind), names);
    }
}

#[test]
fn built_in_cards_are_what_they_should_be() {
    let catalog = Catalog::built_in();
    catalog.validate().unwrap();
    // A checkpoint is `zoo:` and its name, which may be that of its recipe.
    let shown = CardKind::ALL.into_iter().filter(|kind| *kind != CardKind::Checkpoint);
    let names: Vec<_> = shown.flat_map(|kind| catalog.names(kind)).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "`mtl-zoo show` takes any card by its name");
    assert!(names.iter().all(|name| *name == name.to_lowercase()));
}

#[test]
fn built_in_backbones_are_told_apart() {
    let catalog = Catalog::built_in();
    let cards: Vec<_> = catalog.backbones().map(|(name, card)| (name, card.unwrap())).collect();
    assert!(cards.len() >= 20);
    assert_eq!(cards.iter().map(|(_, card)| &card.id).collect::<HashSet<_>>().len(), cards.len());
    // Nothing on the Hub is verified or tried before someone has done so and says it.
    let verified: Vec<_> = cards.iter().filter(|(_, card)| card.verified).map(|(name, _)| *name).collect();
    assert_eq!(verified, ["bundled"]);
    let tried: Vec<_> = cards.iter().filter(|(_, card)| card.tested != "not tried").map(|(name, _)| *name).collect();
    assert_eq!(tried, ["all-minilm-l6-v2", "bundled"]);
}

/// Tasks here have files here; tasks on the Hub have a citation, languages, labels in the data's order and metrics.
#[test]
fn built_in_tasks_can_be_had() {
    let catalog = Catalog::built_in();
    let mut on_hub = 0;
    for (name, card) in catalog.tasks() {
        let card = card.unwrap();
        assert!(card.citation.is_some() && !card.languages.is_empty(), "{name}");
        assert!(["train", "validation", "test", "columns", "metrics"].iter().all(|key| card.task.contains_key(*key)));
        let source = RecipeSource::Tasks { names: &[name.to_owned()], folder: ".".into() };
        let recipe = Recipe::load(source, &[], &catalog).unwrap();
        let train: Files = card.task["train"].clone().try_into().unwrap();
        let hub = train.paths().iter().all(|path| path.to_str().unwrap().starts_with(hub_file::SCHEME));
        assert_eq!(card.verified, !hub, "{name}");
        assert!(hub || recipe.tasks[name].train.paths().iter().all(|path| path.is_file()), "{name}");
        on_hub += usize::from(hub);
    }
    assert!(on_hub >= 20);
}

#[test]
fn built_in_recipes_say_what_they_are() {
    let catalog = Catalog::built_in();
    for (name, source) in catalog.recipes() {
        assert!(source.text.starts_with("# "), "{name}: the comment at the top is its description");
        let recipe = Recipe::load(RecipeSource::File(Path::new(name)), &[], &catalog).unwrap();
        assert_eq!(recipe.name.as_deref(), Some(name));
        assert!(recipe.tasks.len() > 1, "{name}");
        assert!(catalog.backbone(&recipe.backbone.id).unwrap().is_some(), "{name}");
    }
}

#[test]
fn backbones_are_cards_folders_or_hub_ids() {
    let catalog = Catalog::built_in();
    let source = |id: &str, revision| catalog.backbone_source(id, revision, Path::new(".")).unwrap();
    let ModelSource::Folder(folder) = source("bundled", None) else { panic!() };
    assert!(folder.join("model.safetensors").is_file());
    let hub = |id: &str, revision: Option<&str>| ModelSource::Hub { id: id.into(), revision: revision.map(Into::into) };
    let minilm = "sentence-transformers/all-MiniLM-L6-v2";
    assert_eq!(source("all-minilm-l6-v2", Some("v1")), hub(minilm, Some("v1")));
    assert_eq!(source("all-minilm-l6-v2", None), hub(minilm, Some("c9745ed1d9f207416be6d2e6f8de32d1f16199bf")));
    assert_eq!(source("org/name", None), hub("org/name", None));
    assert_eq!(source("./models/mine", None), ModelSource::Folder("./models/mine".into()));
    assert_eq!(catalog.suggest("vader-amazn"), Some("vader-amazon"));
}

/// A catalog with one card of the user's own.
fn with(kind: CardKind, name: &str, text: &str) -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join(kind.folder())).unwrap();
    std::fs::write(folder.path().join(kind.folder()).join(format!("{name}.toml")), text).unwrap();
    let mut catalog = Catalog::built_in();
    catalog.add_folder(folder.path()).unwrap();
    catalog
}

#[test]
fn checkpoints_are_folders_or_hub_ids() {
    let built_in = Catalog::built_in();
    let ModelSource::Folder(folder) = built_in.checkpoint_source("sentiment", Path::new(".")).unwrap() else {
        panic!()
    };
    assert!(folder.join("mtl_zoo.json").is_file());
    let commit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf";
    let text = |id: &str, heads: &str| {
        format!(
            "id = '{id}'\nrevision = '{commit}'\nheads = {heads}\nlanguages = ['en']\nlicense = 'mit'\ndescription = 'x'\n"
        )
    };
    let catalog = with(CardKind::Checkpoint, "mine", &text("me/mine", "['a']"));
    let expected = ModelSource::Hub { id: "me/mine".into(), revision: Some(commit.into()) };
    assert_eq!(catalog.checkpoint_source("mine", Path::new(".")).unwrap(), expected);
    let error = catalog.checkpoint_source("min", Path::new(".")).unwrap_err().to_string();
    assert!(error.contains("`zoo:min`") && error.contains("did you mean `mine`?"), "{error}");
    for (text, found) in [(text("./mine", "['a']"), "revision"), (text("me/mine", "[]"), "heads")] {
        let error = with(CardKind::Checkpoint, "mine", &text).validate().unwrap_err().to_string();
        assert!(error.contains(found) && error.contains("mine.toml"), "{error}");
    }
}

#[test]
fn own_cards_win() {
    let text = "description = 'mine'\nlicense = 'mit'\nsource = 'me'\n[task]\ntype = 'regression'\ntrain = 'x.csv'\n";
    let catalog = with(CardKind::Task, "vader-nyt", text);
    assert_eq!(catalog.task("vader-nyt").unwrap().unwrap().description, "mine");
    assert!(catalog.task("none").unwrap().is_none());
    assert_eq!(catalog.find("sentiment").unwrap().0, CardKind::Recipe);
    catalog.validate().unwrap();
    let error = with(CardKind::Task, "bad", "description = 1\n").task("bad").unwrap_err().to_string();
    assert!(error.contains("bad.toml:1: `description`: found 1, expected text in quotes"), "{error}");
}

const BACKBONE: &str = "\
id = 'org/name'
revision = '0123456789abcdef0123456789abcdef01234567'
family = 'bert'
parameters = 1
languages = ['en']
license = 'mit'
description = 'mine'
";

const TASK: &str = "\
description = 'mine'
license = 'mit'
source = 'me'
citation = 'Me (2024).'
languages = ['en', 'yue']
[task]
type = 'classification'
train = 'hf://datasets/org/name@0123456789abcdef0123456789abcdef01234567/train.csv'
test = ['hf://datasets/org/name@0123456789abcdef0123456789abcdef01234567/test.csv']
labels = ['a', 'b']
metrics = ['accuracy']
";

/// What a card is refused with after `from` in it has become `to`.
fn refusal(kind: CardKind, good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "{from}");
    with(kind, "mine", good).validate().unwrap();
    let error = with(kind, "mine", &good.replacen(from, to, 1)).validate().unwrap_err().to_string();
    assert!(error.contains("mine.toml:") && error.contains("help: "), "{error}");
    error
}

#[test]
fn bad_backbones_are_refused() {
    let commit = "revision = '0123456789abcdef0123456789abcdef01234567'";
    let contradiction = format!("{commit}\npinned = false");
    for (from, to, expected) in [
        ("family = 'bert'", "family = 'roberta'", "3: `family`: found 'roberta', expected \"bert\""),
        ("parameters = 1", "parameters = 0", "4: `parameters`: found 0, expected a number above 0"),
        ("['en']", "['English']", "5: `languages[0]`: found 'English', expected an ISO 639 code"),
        ("['en']", "['en', 'en']", "5: `languages[1]`: found `en` twice, expected each language once"),
        ("['en']", "[]", "5: `languages`: found [], expected at least one language"),
        ("'mit'", "'MIT'", "6: `license`: found 'MIT', expected a licence as the Hub writes it"),
        ("'mine'", "''", "7: `description`: found '', expected a text"),
        ("'mine'\n", "'mine'\ntested = ' '\n", "8: `tested`: found ' ', expected a text"),
        ("org/name", "org/name/more", "1: `id`: found 'org/name/more', expected a Hub id or a folder"),
        ("org/name", "./here", "2: `revision`: found '0123456789abcdef0123456789abcdef01234567', expected no revision"),
        (commit, "", "`revision`: found no revision, expected a commit"),
        (commit, "revision = 'main'", "2: `revision`: found revision `main`, expected a commit"),
        (commit, contradiction.as_str(), "3: `pinned`: found `pinned = false` with a commit"),
    ] {
        let error = refusal(CardKind::Backbone, BACKBONE, from, to);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let unpinned = BACKBONE.replace(commit, "pinned = false");
    with(CardKind::Backbone, "mine.v2", &unpinned).validate().unwrap();
    let error = with(CardKind::Backbone, "mine two", BACKBONE).validate().unwrap_err().to_string();
    assert!(error.contains("mine two.toml:1: found a card called `mine two`, expected 1 to 64 letters"), "{error}");
}

#[test]
fn bad_tasks_are_refused() {
    let first = "name@0123456789abcdef0123456789abcdef01234567/train.csv";
    let last = "hf://datasets/org/name@0123456789abcdef0123456789abcdef01234567/test.csv";
    for (from, to, expected) in [
        ("'mit'", "'apache2'", "2: `license`: found 'apache2', expected a licence as the Hub writes it"),
        ("'me'", "''", "3: `source`: found '', expected a text"),
        ("citation = 'Me (2024).'", "", "`citation`: found nothing, expected how to cite published data"),
        ("'Me (2024).'", "''", "4: `citation`: found '', expected a text"),
        ("['en', 'yue']", "['xx']", "5: `languages[0]`: found 'xx', expected an ISO 639 code"),
        (first, "name/train.csv", "expected every file of one repository and one revision"),
        (last, "test.csv", "9: `task.test[0]`: found \"test.csv\", expected every file of one repository"),
        (last, "hf://datasets/name/x.csv", "9: `task.test[0]`: found \"hf://datasets/name/x.csv\", expected `hf://"),
        ("'accuracy'", "'pearson'", "metrics"),
        ("['a', 'b']", "['a', 'a']", "found label `a` twice"),
        ("'classification'", "'regression'", "labels"),
        ("'classification'", "'ranking'", "expected `classification`"),
    ] {
        let error = refusal(CardKind::Task, TASK, from, to);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let branch = TASK.replace("0123456789abcdef0123456789abcdef01234567", "refs%2Fconvert%2Fparquet");
    let error = with(CardKind::Task, "mine", &branch).validate().unwrap_err().to_string();
    let expected = "8: `task.train`: found revision `refs%2Fconvert%2Fparquet`, expected a commit";
    assert!(error.contains(expected) && error.contains("`pinned = false`"), "{error}");
    with(CardKind::Task, "mine", &format!("pinned = false\n{branch}")).validate().unwrap();
    let error = with(CardKind::Task, "mine.two", TASK).validate().unwrap_err().to_string();
    assert!(error.contains("found a card called `mine.two`"), "{error}");
}

#[test]
fn bad_recipes_are_refused() {
    let error = with(CardKind::Recipe, "mine", "[tasks.a]\ncard = 'none'\n").validate().unwrap_err().to_string();
    assert!(error.contains("mine.toml:2: `tasks.a.card`: found 'none', expected one of the"), "{error}");
}

/// A recipe that takes a card checks all of it, not only what it takes.
#[test]
fn used_cards_are_checked() {
    let load = |text: &str| {
        let catalog = with(CardKind::Task, "mine", text);
        let source = RecipeSource::Text { name: "r.toml", text: "[tasks.x]\ncard = 'mine'\n", folder: "/data".into() };
        Recipe::load(source, &[], &catalog)
    };
    load(TASK).unwrap();
    let error = load(&TASK.replace("'mit'", "'free'")).unwrap_err().to_string();
    assert!(error.contains("mine.toml:2: `license`: found 'free'"), "{error}");
    let catalog = with(CardKind::Backbone, "mine", &BACKBONE.replace("'mit'", "'free'"));
    let error = catalog.backbone_source("mine", None, Path::new(".")).unwrap_err().to_string();
    assert!(error.contains("mine.toml:6: `license`: found 'free'"), "{error}");
}
