//! What files show.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};

use akvfs::emulator::{NewSecret, Operation};

use crate::support::TestVault;

#[test]
fn a_cold_read_is_one_request_and_the_next_one_none() {
    let vault = TestVault::with(&[("db", "hunter2")]);
    let mount = vault.mount();
    assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), "hunter2");
    assert_eq!(vault.emulator.requests().len(), 1);
    assert_eq!(fs::read_to_string(mount.path("secrets/db/current")).unwrap(), "hunter2");
    assert_eq!(vault.emulator.requests().len(), 1);
}

#[test]
fn every_version_has_a_file_of_its_own() {
    let vault = TestVault::empty();
    let versions = ["one", "two", "three"].map(|value| (vault.put("db", value), value));
    let mount = vault.mount();
    for (version, value) in &versions {
        assert_eq!(fs::read_to_string(mount.path(&format!("secrets/db/{version}"))).unwrap(), *value);
    }
    assert_eq!(fs::read_to_string(mount.path("secrets/db/current")).unwrap(), "three");
    let mut names: Vec<_> = mount.shell("ls secrets/db").lines().map(str::to_owned).collect();
    names.sort();
    let mut expected: Vec<_> = versions.into_iter().map(|(version, _)| version).collect();
    expected.extend(["current".to_owned(), "properties.json".to_owned()]);
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn properties_are_the_apis_without_the_value() {
    let vault = TestVault::empty();
    let tags = [("team".to_owned(), "a".to_owned())].into();
    let secret = NewSecret { content_type: Some("text/plain".into()), tags: Some(tags), ..NewSecret::from("canary") };
    let version = vault.put("db", secret);
    let mount = vault.mount();
    let text = fs::read_to_string(mount.path("secrets/db/properties.json")).unwrap();
    assert!(!text.contains("canary"));
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["id"], format!("{}/secrets/db/{version}", vault.url()));
    assert_eq!(shown["contentType"], "text/plain");
    assert_eq!(shown["tags"]["team"], "a");
    assert_eq!(shown["attributes"]["enabled"], true);
    assert_eq!(fs::metadata(mount.path("secrets/db/properties.json")).unwrap().len(), text.len() as u64);
}

#[test]
fn times_are_the_versions_and_owner_and_mode_are_the_options() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount_with(&["--gid", "7", "--file-mode", "0440", "--dir-mode", "0550"]);
    let text = fs::read_to_string(mount.path("secrets/db/properties.json")).unwrap();
    let properties: serde_json::Value = serde_json::from_str(&text).unwrap();
    let file = fs::metadata(mount.path("secrets/db/current")).unwrap();
    assert_eq!(file.mtime(), properties["attributes"]["created"].as_i64().unwrap());
    assert_eq!(file.ctime(), properties["attributes"]["updated"].as_i64().unwrap());
    assert_eq!((file.mode(), file.gid(), file.nlink()), (0o100440, 7, 1));
    let directory = fs::metadata(mount.path("secrets/db")).unwrap();
    assert_eq!((directory.mode(), directory.gid(), directory.nlink()), (0o040550, 7, 2));
}

#[test]
fn an_open_file_is_a_snapshot() {
    let vault = TestVault::with(&[("db", &"a".repeat(25_600))]);
    let mount = vault.mount_with(&["--ttl", "0s"]);
    let mut open = File::open(mount.path("values/db")).unwrap();
    let mut half = vec![0; 12_800];
    open.read_exact(&mut half).unwrap();
    vault.put("db", "short");
    assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), "short");
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).unwrap();
    assert_eq!([half, rest].concat(), "a".repeat(25_600).into_bytes());
    open.seek(SeekFrom::Start(0)).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, 25_599).unwrap();
    assert_eq!(byte, *b"a");
}

#[test]
fn another_spelling_finds_the_same_file() {
    let vault = TestVault::with(&[("Db-Password", "x")]);
    let mount = vault.mount();
    let inode = |name: &str| fs::metadata(mount.path(name)).unwrap().ino();
    assert_eq!(inode("values/Db-Password"), inode("values/DB-PASSWORD"));
    assert_eq!(fs::read_to_string(mount.path("secrets/db-password/current")).unwrap(), "x");
    assert_eq!(mount.shell("ls values"), "Db-Password\n");
}

#[test]
fn inode_numbers_outlive_rotation_and_remount() {
    let vault = TestVault::with(&[("db", "x")]);
    let numbers = |mount: &crate::support::Mounted| {
        ["secrets", "secrets/db", "secrets/db/current", "values/db"]
            .map(|path| fs::metadata(mount.path(path)).unwrap().ino())
    };
    let first = numbers(&vault.mount());
    vault.put("db", "y");
    assert_eq!(numbers(&vault.mount()), first);
}

#[test]
fn names_that_no_vault_could_hold_never_reach_it() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount();
    for name in [".git", "a_b", "a.b", "ä", &"x".repeat(128)] {
        let error = fs::metadata(mount.path(&format!("values/{name}"))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{name}");
    }
    assert_eq!(vault.emulator.requests(), []);
}

#[test]
fn an_absent_name_is_asked_for_once() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount();
    for _ in 0..3 {
        let error = fs::read(mount.path("values/absent")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
    assert_eq!(vault.requests(Operation::GetSecret).len(), 1);
}

#[test]
fn a_thousand_readers_of_one_cold_secret_share_one_request() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");
                }
            });
        }
    });
    assert_eq!(vault.requests(Operation::GetSecret).len(), 1);
}
