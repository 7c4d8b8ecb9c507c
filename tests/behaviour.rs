//! README's *Behaviour* promises nothing that no test holds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Names of all functions that are tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in ["src", "tests"].iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let text = fs::read_to_string(file).unwrap();
        for after in text.split("test]\n").chain(text.split("start_paused = true)]\n")).skip(1) {
            let line = after.lines().next().unwrap_or_default().trim_start();
            if let Some((_, rest)) = line.split_once("fn ") {
                names.insert(rest.split('(').next().unwrap().to_owned());
            }
        }
    }
    names
}

#[test]
fn every_statement_names_a_test_that_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let behaviour = readme.split("\n## Behaviour\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let statements: Vec<_> = behaviour.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(statements.len() > 20);
    let tests = tests();
    for statement in statements {
        let (_, named) = statement.rsplit_once(". (").unwrap_or_else(|| panic!("no test is named: {statement}"));
        for name in named.trim_end_matches(')').split(", ") {
            assert!(tests.contains(name.trim_matches('`')), "{name} is no test: {statement}");
        }
    }
}
