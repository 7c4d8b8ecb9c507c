//! README's session of `akvfs request`, played line by line as it stands there.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use akvfs::emulator::Operation;

use crate::support::{TestVault, akvfs, shown};

/// README's vault, and the flags that it takes to reach the embedded one in its place.
const STAND_IN: &str = r#"#!/bin/sh
[ "$1 $2" = 'request my-vault' ] || exit 99
shift 2
exec "$AKVFS" request "$URL" "$@" --ca-bundle "$FOLDER/ca.pem" --token-file "$FOLDER/token" \
    --no-verify-challenge-resource
"#;

/// A line of the session, and the status that README says it gets.
struct Step {
    line: String,
    status: u16,
}

fn session() -> Vec<Step> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, after) = readme.split_once("**By hand.**").unwrap();
    let block = after.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let step = |line: &str| {
        let status = line.rsplit_once("# ").unwrap().1.parse().unwrap();
        Step { line: line.to_owned(), status }
    };
    block.lines().map(step).collect()
}

fn path_with(folder: &Path) -> OsString {
    let others = std::env::var_os("PATH").unwrap();
    std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&others))).unwrap()
}

#[test]
fn the_session_in_readme_does_every_operation_as_it_says() {
    let vault = TestVault::empty();
    let stand_in = vault.path("akvfs");
    fs::write(&stand_in, STAND_IN).unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    let mut done = HashSet::new();
    for Step { line, status } in session() {
        vault.emulator.clear_requests();
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", &line]).current_dir(vault.folder.path());
        shell.env("PATH", path_with(vault.folder.path())).env("AKVFS", akvfs().get_program());
        let output = shell.env("URL", vault.url()).env("FOLDER", vault.folder.path()).output().unwrap();
        let last = vault.emulator.requests().pop().unwrap();
        assert_eq!(last.status, Some(status), "{line}: {}", shown(&output));
        let expected = if (200..300).contains(&status) { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{line}: {}", shown(&output));
        done.insert(last.operation);
    }
    assert_eq!(done, HashSet::from(EVERY));
}

const EVERY: [Operation; 12] = [
    Operation::SetSecret,
    Operation::GetSecret,
    Operation::UpdateSecret,
    Operation::GetSecrets,
    Operation::GetSecretVersions,
    Operation::BackupSecret,
    Operation::DeleteSecret,
    Operation::GetDeletedSecrets,
    Operation::GetDeletedSecret,
    Operation::RecoverDeletedSecret,
    Operation::PurgeDeletedSecret,
    Operation::RestoreSecret,
];
