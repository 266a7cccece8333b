//! Data files of recipes on the Hub, and `mtl-zoo pull`.

use super::options;
use super::server::{COMMIT, Files, ID, Repo, Server};
use super::{FILES, refused};
use mtl_zoo::catalog::Catalog;
use mtl_zoo::data::pull_data;
use mtl_zoo::hub::{HubOptions, RepoKind, pull};
use mtl_zoo::recipe::{Recipe, RecipeSource};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SET: &str = "datasets/org/set";

fn rows(more: &str) -> Vec<u8> {
    let texts = ["fine", "dull", "lovely", "cold", "warm", "slow", "bright", "long"];
    let line = |(index, text): (usize, &&str)| format!("{text} {more},{}\n", ["good", "bad"][index % 2]);
    let lines: String = texts.iter().enumerate().map(line).collect();
    format!("text,label\n{lines}").into_bytes()
}

fn serve() -> Server {
    let server = Server::start(&FILES);
    let files = ["data/train.csv", "data/dev.csv", "test.csv", "README.md"].map(|name| (name.to_owned(), rows(name)));
    server.set(|state| drop(state.repos.insert(SET.into(), Repo::new(COMMIT, Files::from(files)))));
    server
}

fn recipe(train: &str) -> String {
    format!(
        "[tasks.mood]\ntype = \"classification\"\ntrain = {train}\nvalidation = \"hf://datasets/org/set@main/data/dev.csv\"\n\
         test = [\"hf://datasets/org/set@{COMMIT}/test.csv\"]\n"
    )
}

fn load(text: &str) -> mtl_zoo::Result<Recipe> {
    let source = RecipeSource::Text { name: "my.toml", text, folder: ".".into() };
    Recipe::load(source, &[], &Catalog::built_in())
}

/// The program with this server as its Hub.
pub fn program(server: &Server, folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtl-zoo"));
    command.current_dir(folder).args(args).env("HF_ENDPOINT", &server.endpoint).env("HF_HUB_OFFLINE", "0");
    command.env("HF_HUB_CACHE", folder.join("hub")).env("HF_TOKEN", "hf_secret").env("XDG_CONFIG_HOME", folder);
    command.env("MTL_ZOO_CACHE", folder.join("cache"));
    command.env("MTL_ZOO_BUNDLED", Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/bundled"));
    command.output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn data_is_pulled_once_and_named_with_its_commit() {
    let (server, cache) = (serve(), tempfile::tempdir().unwrap());
    let mut recipe = load(&recipe("\"hf://datasets/org/set/data/train.csv\"")).unwrap();
    let options = options(&server, cache.path());
    pull_data(&mut recipe, &options).unwrap();
    let written = recipe.to_toml();
    for file in ["data/train.csv", "data/dev.csv", "test.csv"] {
        assert!(written.contains(&format!("\"hf://datasets/org/set@{COMMIT}/{file}\"")), "{written}");
        let path = cache.path().join("datasets--org--set/snapshots").join(COMMIT).join(file);
        assert_eq!(std::fs::read(path).unwrap(), rows(file));
    }
    assert_eq!(load(&written).unwrap(), recipe);
    let asked = server.requests();
    assert_eq!(asked.iter().filter(|request| request.contains("/revision/main")).count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|request| request.contains("README")));
    // What is pinned to a commit and there needs no network.
    pull_data(&mut recipe, &options).unwrap();
    assert!(server.requests().is_empty());
    pull_data(&mut recipe, &HubOptions { offline: Some(true), ..options }).unwrap();
}

#[test]
fn data_that_is_not_there_is_named() {
    let (server, cache) = (serve(), tempfile::tempdir().unwrap());
    let online = options(&server, cache.path());
    let offline = HubOptions { offline: Some(true), ..online.clone() };
    for (uri, options, fragments) in [
        ("hf://datasets/org/set/data/absent.csv", &online, ["datasets/org/set", "data/absent.csv"]),
        ("hf://datasets/org/set/absent/train.csv", &online, ["datasets/org/set", "absent/train.csv"]),
        ("hf://datasets/org/absent/train.csv", &online, ["datasets/org/absent", "spelling"]),
        ("hf://datasets/org/set@v9/data/train.csv", &online, ["datasets/org/set@v9", "\"v9\""]),
        ("hf://datasets/org/set/data/train.csv", &offline, ["HF_HUB_OFFLINE", "data/train.csv"]),
    ] {
        let mut recipe = load(&recipe(&format!("[{uri:?}]"))).unwrap();
        refused(pull_data(&mut recipe, options), &fragments);
    }
    for uri in ["hf://datasets/org/set", "hf://datasets/org/set/../../x.csv", "hf://models/org/set/x.csv"] {
        refused(load(&recipe(&format!("{uri:?}"))), &["my.toml:3", "tasks.mood.train", uri, "OWNER/NAME"]);
    }
}

#[test]
fn a_run_reads_its_data_from_the_hub() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("my.toml"), recipe("\"hf://datasets/org/set/data/train.csv\"")).unwrap();
    let args = ["finetune", "my.toml", "--out", "run", "--json", "--set", "training.steps=2"];
    let output = program(&server, folder.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let pinned = format!("hf://datasets/org/set@{COMMIT}/data/train.csv");
    assert!(std::fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap().contains(&pinned));
    let manifest = std::fs::read(folder.path().join("run/checkpoint/mtl_zoo.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["recipe"]["tasks"]["mood"]["train"], pinned);

    // Scoring needs neither the file nor the Hub again, and reads the same commit when the branch has moved.
    server.repo_named(SET, |repo| repo.put(&"e".repeat(40), Files::from([("data/train.csv".to_owned(), rows("new"))])));
    server.requests();
    let output = program(&server, folder.path(), &["eval", "run", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("changed since training"), "{}", text(&output.stderr));
    assert!(server.requests().is_empty());
}

#[test]
fn pull_prints_where_the_files_are() {
    let (server, folder) = (serve(), tempfile::tempdir().unwrap());
    let output = program(&server, folder.path(), &["pull", ID]);
    let place = folder.path().join("hub/models--org--tiny/snapshots").join(COMMIT);
    assert_eq!(text(&output.stdout), format!("{}\n", place.display()), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("backbone org/tiny at commit"));
    let output = program(&server, folder.path(), &["pull", "org/tiny@main", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["kind"], &found["commit"]), (&"backbone".into(), &COMMIT.into()));
    server.repo(|repo| drop(repo.files().insert("mtl_zoo.json".into(), b"{}".to_vec())));
    let output = program(&server, folder.path(), &["pull", ID, "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["kind"], &found["files"][0]), (&"checkpoint".into(), &"mtl_zoo.json".into()));

    let output = program(&server, folder.path(), &["pull", "--dataset", "org/set", "--include", "data/*"]);
    let place = folder.path().join("hub/datasets--org--set/snapshots").join(COMMIT);
    let lines = ["data/dev.csv", "data/train.csv"].map(|file| format!("{}\n", place.join(file).display()));
    assert_eq!(text(&output.stdout), lines.concat(), "{}", text(&output.stderr));
    for (args, code, fragment) in [
        (["pull", "--dataset", "org/set", "--include=*.parquet"], 1, "no file that matches"),
        (["pull", "--dataset", "org/set", "--include=["], 2, "--include"),
        (["pull", "org/absent", "--json", "--include=*"], 1, "spelling"),
    ] {
        let output = program(&server, folder.path(), &args);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(code) && message.contains(fragment), "{args:?}: {message}");
        assert!(output.stdout.is_empty() && message.contains("help: ") && !message.contains("hf_secret"), "{message}");
    }
}

#[test]
fn pull_takes_what_matches() {
    let (server, cache) = (serve(), tempfile::tempdir().unwrap());
    let options = options(&server, cache.path());
    let names = |include: &[&str]| {
        let include: Vec<String> = include.iter().map(|text| text.to_string()).collect();
        pull("org/set", RepoKind::Dataset, &include, &options).unwrap().files
    };
    assert_eq!(names(&["*.csv"]), ["data/dev.csv", "data/train.csv", "test.csv"]);
    assert_eq!(names(&["{test,x}.csv", "README*"]), ["README.md", "test.csv"]);
    assert_eq!(names(&[]).len(), 4);
    let offline = HubOptions { offline: Some(true), ..options };
    assert_eq!(pull("org/set", RepoKind::Dataset, &[], &offline).unwrap().files.len(), 4);
}
