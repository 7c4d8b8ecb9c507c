//! The arrows between the rooms, and who may name which library.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may import; `sys` is open to all. An arrow that is not here does
/// not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["config", "daemon"]),
    ("config", &["auth", "cache", "cli", "emulator", "fs", "fuse", "rotation", "tree"]), // the flags as typed; the settings of each room
    ("daemon", &["auth", "cache", "cli", "config", "emulator", "fs", "fuse", "rotation", "vault", "vault::http"]),
    ("fuse", &["cache", "fs", "rotation", "tree", "vault"]), // cache, rotation: what a change is, and who is told
    ("fs", &["tree", "vault"]),
    ("tree", &["vault"]), // what a secret's name is
    ("cache", &["vault"]),
    ("rotation", &["cache", "vault"]),
    ("vault", &[]),
    ("vault::http", &["auth", "vault"]),
    ("auth", &[]),
    ("sys", &[]),
    ("emulator", &[]), // nothing of ours: or both ends could be wrong together
];

/// Libraries that only some rooms may name.
const FENCED: &[(&str, &[&str])] = &[
    ("fuser", &["fuse"]),
    ("reqwest", &["vault::http", "auth"]),
    ("axum", &["emulator"]),
    ("rcgen", &["auth", "emulator"]), // auth: its tests make certificates
    ("clap", &["cli"]),
    ("unsafe", &["sys"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The room that a file belongs to.
fn room(path: &Path) -> String {
    let parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    let parts: Vec<_> = parts.iter().map(String::as_str).skip_while(|part| *part != "src").skip(1).collect();
    match parts.as_slice() {
        ["vault", "http", ..] => "vault::http".to_owned(),
        [room, ..] => (*room).to_owned(),
        [] => unreachable!("a path below src"),
    }
}

/// The code of a file without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files() -> Vec<(String, PathBuf, String)> {
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // The map itself, and what only tests are built with: they put rooms together.
    let apart = |path: &Path| ["src/lib.rs", "tests.rs", "double.rs"].iter().any(|name| path.ends_with(name));
    let rust = all.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.filter(|path| !apart(path)).map(|path| (room(&path), path.clone(), code(&path))).collect()
}

/// Rooms that a file names by `crate::` or, from the binary, `akvfs::`.
fn imports(code: &str) -> BTreeSet<String> {
    let after = ["crate::", "akvfs::"].into_iter().flat_map(|root| code.split(root).skip(1).collect::<Vec<_>>());
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    after
        .map(|rest| match word(rest).as_str() {
            "vault" if rest.starts_with("vault::http") => "vault::http".to_owned(),
            room => room.to_owned(),
        })
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn rooms_import_only_what_the_map_shows() {
    for (room, path, code) in files() {
        let allowed = ARROWS.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is not on the map: {}", path.display()));
        for target in imports(&code) {
            let fine = target == room || target == "sys" || allowed.contains(&target.as_str());
            assert!(fine, "{} may not import {target}", path.display());
        }
    }
}

#[test]
fn libraries_stay_behind_their_fences() {
    for (room, path, code) in files() {
        for (library, rooms) in FENCED {
            let names_it = |line: &str| {
                line.contains(&format!("{library}::"))
                    || line.contains(&format!("use {library};"))
                    || (*library == "unsafe"
                        && (line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl")))
            };
            assert!(
                rooms.contains(&room.as_str()) || !code.lines().any(names_it),
                "{} names {library}",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_opens_by_saying_what_it_owns() {
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        if path.extension().is_some_and(|extension| extension == "rs") {
            assert!(fs::read_to_string(&path).unwrap().starts_with("//! "), "{}", path.display());
        }
    }
}

#[test]
fn every_room_is_on_the_map_in_lib_rs() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (room, _) in ARROWS.iter().filter(|(room, _)| *room != "main") {
        assert!(map.contains(&format!("| [`{room}`] |")), "{room}");
    }
}
