//! What README shows of `akvfs emulator` is what happens: the session is played, and each example is run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::example;
use crate::script::{node_modules, python};
use crate::support::{akvfs, has_program, shown};

/// README's page.
fn page() -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, page) = readme.split_once("\n## The embedded vault, alone\n").unwrap();
    page.split("\n## ").next().unwrap().to_owned()
}

/// Its blocks of code of one kind.
fn blocks(kind: &str) -> Vec<String> {
    let (page, opening) = (page(), format!("\n```{kind}\n"));
    let blocks = page.split(&opening).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A PATH on which `akvfs` is the command under test.
fn path() -> std::ffi::OsString {
    let command = PathBuf::from(akvfs().get_program());
    let before = command.parent().unwrap().to_owned();
    env::join_paths([before].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap()
}

/// What varies from one run to the next, as README has it.
fn as_shown(output: &str, folder: &Path) -> String {
    let output = output.replace(folder.to_str().unwrap(), "/tmp/t");
    let mut parts = output.split("https://127.0.0.1:");
    let first = parts.next().unwrap().to_owned();
    let without_port = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    parts.fold(first, |text, part| format!("{text}https://127.0.0.1:40669{}", without_port(part)))
}

#[test]
fn the_session_goes_as_shown() {
    if !["bash", "curl", "jq"].into_iter().all(has_program) {
        return;
    }
    let session = blocks("console").concat();
    let played = session.lines().filter_map(|line| line.strip_prefix("$ "));
    // Each command is shown before it is carried out, as in the session.
    let script = played.map(|command| format!("cat <<'COMMAND'\n$ {command}\nCOMMAND\n{command}\n"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let script = format!("trap 'kill $!' EXIT\n{}trap - EXIT\n", script.collect::<String>());
    let output = Command::new("bash").args(["-c", &script]).current_dir(&folder).env("PATH", path()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(as_shown(&String::from_utf8(output.stdout).unwrap(), &folder), session);
}

fn prints_the_value(example: &mut Command) {
    let output = example.env("PATH", path()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(output.stdout, b"value\n", "{}", shown(&output));
}

#[test]
fn the_python_example_runs() {
    let Some(python) = python() else { return };
    prints_the_value(Command::new(python).args(["-c", &blocks("python")[0]]));
}

#[test]
fn the_javascript_example_runs() {
    let Some(modules) = node_modules() else { return };
    prints_the_value(Command::new("node").args(["-e", &blocks("js")[0]]).current_dir(modules));
}

#[tokio::test]
async fn the_rust_example_runs_and_is_the_one_shown() {
    let (_, tested) = include_str!("example.rs").split_once("\n\n").unwrap();
    assert_eq!(tested.replace("pub(crate) ", ""), blocks("rust")[0]);
    let akvfs = akvfs();
    let value = example::value_from_emulator(akvfs.get_program().to_str().unwrap()).await.unwrap();
    assert_eq!(value.as_deref(), Some("value"));
}
