//! npm's @azure/keyvault-secrets, over https and over http.

use std::process::Command;

use crate::script::{node_modules, passes, script};
use crate::vault::{Kind, Vault};

pub(crate) fn scenario(vault: fn(Kind) -> Vault, kind: Kind) {
    let Some(modules) = node_modules() else { return };
    let vault = vault(kind);
    let mut node = Command::new("node");
    node.arg(script("scenario.mjs")).arg(vault.line().to_string()).env("MODULES", modules);
    if let Some(ca) = vault.line()["ca"].as_str() {
        node.env("NODE_EXTRA_CA_CERTS", ca);
    }
    passes(&node);
}

#[test]
fn the_javascript_client_finds_a_vault() {
    scenario(Vault::over_https, Kind::Prompt);
}

#[test]
fn the_javascript_client_passes_over_empty_pages() {
    scenario(Vault::over_https, Kind::Sparse);
}

#[test]
fn the_javascript_client_finds_a_vault_over_http() {
    scenario(Vault::over_http, Kind::Prompt);
}

#[test]
fn the_javascript_client_passes_over_empty_pages_over_http() {
    scenario(Vault::over_http, Kind::Sparse);
}
