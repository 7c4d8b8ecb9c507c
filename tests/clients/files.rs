//! Files and the official Python client on one vault: each sees what the other does.

use std::process::Command;

use crate::script::{passes, python, script};
use crate::support::{Mounted, has_program};
use crate::vault::{Kind, Vault};

/// Runs a script with the vault's line and a writable mount of it.
fn on_a_mount(kind: Kind, name: &str) {
    let Some(python) = python() else { return };
    let vault = Vault::over_https(kind);
    let mount = Mounted::by(|directory| {
        let mut command = crate::support::akvfs();
        command.arg("mount").arg(vault.text("url")).arg(directory);
        command.args(["--ca-bundle", vault.text("ca"), "--token-file", vault.text("token_file")]);
        command.args(["--no-verify-challenge-resource", "--rw", "--binary", "--ttl", "0s"]);
        command
    });
    passes(Command::new(python).arg(script(name)).arg(vault.line().to_string()).arg(&mount.directory));
}

#[test]
fn files_and_the_python_client_see_the_same() {
    on_a_mount(Kind::Prompt, "mount.py");
}

#[test]
fn files_and_the_python_client_see_the_same_of_a_slow_vault() {
    on_a_mount(Kind::Slow, "mount.py");
}

#[test]
fn the_python_client_finds_one_version_after_each_editor() {
    for program in ["vim", "nano", "emacs", "perl", "rsync", "script"] {
        if !has_program(program) {
            return;
        }
    }
    on_a_mount(Kind::Prompt, "editors.py");
}
