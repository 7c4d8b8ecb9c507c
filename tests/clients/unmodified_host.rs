//! Clients with their default settings at `https://NAME.vault.azure.net`: the emulator has port 443 in a network of
//! its own, and a hosts file of its own says that the name is there.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::script::{node_modules, passes, python, script};
use crate::support::{akvfs, has_program, missing};
use crate::vault::Vault;

const HOST: &str = "unmodified.vault.azure.net";
const URL: &str = "https://unmodified.vault.azure.net";
/// Becomes the emulator, whose process then names both namespaces.
const ENTER: &str = r#"ip link set lo up && mount --bind "$0" /etc/hosts && exec "$@""#;

/// A vault on port 443 of a network of its own; `None` where none can be made, which has been said.
fn vault() -> Option<Vault> {
    if !nix::unistd::geteuid().is_root() {
        missing("a mount and a network namespace take root");
        return None;
    }
    if !["unshare", "nsenter", "ip"].into_iter().all(has_program) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {HOST}\n")).unwrap();
    let vault = Vault::started(emulator(&hosts), folder).with("url", json!(URL)).with("defaults", json!(true));
    Some(vault.with("empty_pages", json!(0)))
}

fn emulator(hosts: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", ENTER]).arg(hosts);
    command.arg(akvfs().get_program()).args(["emulator", "--listen", "127.0.0.1:443"]);
    command
}

/// A program in the namespaces of the vault, which trusts its authority by what its environment says.
fn beside(vault: &Vault, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--net", "--target", &vault.process_id().to_string()]).arg(program);
    for variable in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
        command.env(variable, vault.text("ca"));
    }
    command
}

fn python_scenario(client: &str) {
    let (Some(python), Some(vault)) = (python(), vault()) else { return };
    passes(beside(&vault, &python).arg(script("scenario.py")).arg(client).arg(vault.line().to_string()));
}

#[test]
fn the_blocking_python_client_needs_no_setting() {
    python_scenario("blocking");
}

#[test]
fn the_asyncio_python_client_needs_no_setting() {
    python_scenario("asyncio");
}

#[test]
fn the_javascript_client_needs_no_setting() {
    let (Some(modules), Some(vault)) = (node_modules(), vault()) else { return };
    let mut node = beside(&vault, Path::new("node"));
    passes(node.arg(script("scenario.mjs")).arg(vault.line().to_string()).env("MODULES", modules));
}
