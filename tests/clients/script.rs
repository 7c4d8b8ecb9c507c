//! Where the clients of other languages are installed, and how their scenarios are run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{has_program, missing, shown};

/// Longer than any scenario takes, in seconds.
const PATIENCE: &str = "90";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

/// Where a variable, or else the convention, says that a client is.
fn place(variable: &str, convention: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| root().join(convention), PathBuf::from)
}

/// A Python that has the client; `None` if there is none, which has been said.
pub(crate) fn python() -> Option<PathBuf> {
    let python = place("AKVFS_TEST_PYTHON", "target/venv/bin/python");
    let probe = Command::new(&python).args(["-c", "import aiohttp, azure.identity, azure.keyvault.secrets"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        missing("Python's azure-keyvault-secrets, azure-identity and aiohttp: see CONTRIBUTING.md");
        return None;
    }
    Some(python)
}

/// The folder with the JavaScript client in its `node_modules`; `None` if there is none, which has been said.
pub(crate) fn node_modules() -> Option<PathBuf> {
    let folder = place("AKVFS_TEST_NODE_MODULES", "target/npm");
    if !folder.join("node_modules/@azure/keyvault-secrets").is_dir() {
        missing("npm's @azure/keyvault-secrets: see CONTRIBUTING.md");
        return None;
    }
    has_program("node").then_some(folder)
}

/// Runs a scenario to its end, which has to be a good one.
pub(crate) fn passes(scenario: &Command) {
    let mut bounded = Command::new("timeout");
    bounded.arg(PATIENCE).arg(scenario.get_program()).args(scenario.get_args());
    for (name, value) in scenario.get_envs() {
        bounded.env(name, value.unwrap_or_default());
    }
    let output = bounded.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}
