//! Files and the official Python client on one vault: each sees what the other does.

use std::process::Command;

use crate::script::{passes, python, script};
use crate::support::Mounted;
use crate::vault::{Kind, Vault};

fn both_directions(kind: Kind) {
    let Some(python) = python() else { return };
    let vault = Vault::over_https(kind);
    let mount = Mounted::by(|directory| {
        let mut command = crate::support::akvfs();
        command.arg("mount").arg(vault.text("url")).arg(directory);
        command.args(["--ca-bundle", vault.text("ca"), "--token-file", vault.text("token_file")]);
        command.args(["--no-verify-challenge-resource", "--rw", "--binary", "--ttl", "0s"]);
        command
    });
    passes(Command::new(python).arg(script("mount.py")).arg(vault.line().to_string()).arg(&mount.directory));
}

#[test]
fn files_and_the_python_client_see_the_same() {
    both_directions(Kind::Prompt);
}

#[test]
fn files_and_the_python_client_see_the_same_of_a_slow_vault() {
    both_directions(Kind::Slow);
}
