//! The pages in `docs/balance/` against the registry: none missing, none left over, and the parameters that there are.

use super::{Entry, methods};
use crate::recipe::{Parameter, ParameterValue};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/balance")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("docs/balance/{file}: {error}"))
}

/// First and second cell of each line of the tables.
fn cells(page: &str) -> impl Iterator<Item = [&str; 2]> {
    page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some([cells.next()?, cells.next()?])
    })
}

/// Whether the page's table has the parameter with its default.
fn documented(page: &str, parameter: &Parameter) -> bool {
    let says = |default: &str| match parameter.default_value() {
        ParameterValue::Number(number) => default.parse() == Ok(number),
        other => default == other.to_string(),
    };
    cells(page).any(|[name, default]| name == format!("`{}`", parameter.name) && says(default))
}

#[test]
fn every_method_has_a_page_with_its_parameters() {
    let overview = read("README.md");
    for Entry { name, .. } in methods() {
        assert!(overview.contains(&format!("[`{name}`]({name}.md)")), "docs/balance/README.md does not link {name}.md");
    }
    for entry in methods() {
        let page = read(&format!("{}.md", entry.name));
        assert!(page.starts_with(&format!("# {}\n", entry.name)), "title of {}.md", entry.name);
        assert!(page.contains(&format!("method = \"{}\"\n", entry.name)), "{}.md has no recipe", entry.name);
        for parameter in entry.known().parameters {
            assert!(documented(&page, parameter), "{}.md: `{}` or its default", entry.name, parameter.name);
        }
        let named = cells(&page).filter(|[name, _]| name.starts_with('`')).count();
        assert_eq!(named, entry.known().parameters.len(), "{}.md names other parameters too", entry.name);
    }
}

#[test]
fn every_page_is_of_a_method() {
    for file in std::fs::read_dir(folder()).expect("docs/balance") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(
            ["README", "scores"].contains(&name.as_str()) || methods().iter().any(|entry| entry.name == name),
            "{} is of no method",
            path.display()
        );
    }
}
