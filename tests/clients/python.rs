//! Python's azure-keyvault-secrets, blocking and asyncio.

use std::process::Command;

use crate::script::{passes, python, script};
use crate::vault::{Kind, Vault};

pub(crate) fn scenario(client: &str, kind: Kind) {
    let Some(python) = python() else { return };
    let vault = Vault::over_https(kind);
    passes(Command::new(python).arg(script("scenario.py")).arg(client).arg(vault.line().to_string()));
}

#[test]
fn the_blocking_python_client_finds_a_vault() {
    scenario("blocking", Kind::Prompt);
}

#[test]
fn the_blocking_python_client_passes_over_empty_pages() {
    scenario("blocking", Kind::Sparse);
}

#[test]
fn the_asyncio_python_client_finds_a_vault() {
    scenario("asyncio", Kind::Prompt);
}

#[test]
fn the_asyncio_python_client_passes_over_empty_pages() {
    scenario("asyncio", Kind::Sparse);
}
