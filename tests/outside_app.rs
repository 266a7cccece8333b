//! An app of somebody else's, its own Cargo project: it builds with few crates and answers from the published checkpoint.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that may be part of the app: without the macros and tools that only build it.
const MOST: usize = 120;
/// What mtl-zoo may add to all crates that are compiled for `candle-core` alone.
const MOST_ADDED: usize = 10;

fn cargo(args: &[&str], target: &Path) -> String {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside_app");
    let mut cargo = Command::new(env!("CARGO"));
    // Of the build that runs this test nothing is wanted but the tool chain.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && !name.starts_with("CARGO_HOME") && !name.starts_with("CARGO_NET") {
            cargo.env_remove(name);
        }
    }
    let output = cargo.current_dir(app).args(args).arg("--locked").env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Names and versions of the crates that are built for this machine, the app itself left out.
fn crates(tree: &str) -> BTreeSet<&str> {
    let version =
        |word: &str| word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let crate_of = |line: &'_ str| {
        let mut words = line.splitn(3, ' ');
        let (name, number) = (words.next()?, words.next()?);
        version(number).then_some(name.len() + 1 + number.len())
    };
    let lines = tree.lines().filter(|line| !line.starts_with("outside-app "));
    lines.filter_map(|line| Some(&line[..crate_of(line)?])).collect()
}

#[test]
fn a_candle_app_answers_from_the_published_checkpoint() {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("outside_app");
    cargo(&["build"], &target);
    // Elsewhere, without mtl-zoo's settings and without a home.
    let folder = tempfile::tempdir().unwrap();
    let texts = ["what a day, I loved it", "never again, awful", "the shop opens at nine"];
    let app = target.join("debug").join(format!("outside-app{}", std::env::consts::EXE_SUFFIX));
    let output = Command::new(app)
        .arg("zoo:sentiment")
        .args(texts)
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let ranked: Vec<&str> = printed.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(ranked, [texts[0], texts[2], texts[1]], "{printed}");
}

#[test]
fn it_has_few_crates_and_hardly_any_beyond_those_of_candle() {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("outside_app");
    let tree = |package: &str, edges: &str| {
        cargo(&["tree", "--edges", edges, "--prefix", "none", "--package", package], &target)
    };
    let part = tree("outside-app", "normal,no-proc-macro");
    let (all, candle) = (tree("outside-app", "normal,build"), tree("candle-core", "normal,build"));
    let (part, all, candle) = (crates(&part), crates(&all), crates(&candle));
    println!("{} crates in the app; {} compiled, {} of them for candle-core", part.len(), all.len(), candle.len());
    assert!((50..=MOST).contains(&part.len()), "{part:?}");
    let added: Vec<_> = all.difference(&candle).collect();
    assert!(candle.len() > 50 && added.len() <= MOST_ADDED, "{added:?}");
}
