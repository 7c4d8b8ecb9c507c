//! `akvfs refresh`: what has been remembered is asked for again.

use std::fs;
use std::path::Path;
use std::process::Output;

use akvfs::emulator::{Fault, Operation};

use crate::support::{TestVault, akvfs, shown, until};

fn refresh(words: &[&Path]) -> Output {
    akvfs().arg("refresh").args(words).output().unwrap()
}

fn refreshed(words: &[&Path]) {
    let output = refresh(words);
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn refresh_has_one_secret_or_all_asked_for_again() {
    let vault = TestVault::with(&[("db", "one"), ("other", "x")]);
    let mount = vault.mount_with(&["--ttl", "1h", "--negative-ttl", "1h"]);
    assert_eq!(mount.shell("ls values; cat values/db values/other; stat -c %s values/db"), "db\nother\nonex3\n");
    assert!(!mount.path("values/late").exists());
    for (name, value) in [("db", "three"), ("other", "yy"), ("late", "z")] {
        vault.put(name, value);
    }
    assert_eq!(mount.shell("cat values/db values/other; ls values"), "onexdb\nother\n", "the ttl has not passed");
    vault.emulator.clear_requests();
    refreshed(&[&mount.directory, Path::new("db")]);
    assert_eq!(mount.shell("stat -c %s values/db; cat values/db values/other"), "5\nthreex");
    assert!(!vault.got().contains(&"other".to_owned()), "nobody has asked for that one");
    refreshed(&[&mount.path("values")]);
    assert_eq!(mount.shell("cat values/other values/late; ls values"), "yyzdb\nlate\nother\n");
}

#[test]
fn refresh_finds_a_rotation_that_is_told_though_nobody_reads() {
    let vault = TestVault::with(&[("db", "one")]);
    let seen = vault.path("seen");
    let command = format!("echo $AKVFS_SECRET >> {}", seen.display());
    let mount = vault.mount_with(&["--ttl", "1h", "--on-change", &command]);
    assert_eq!(mount.shell("cat values/db"), "one");
    vault.put("db", "two");
    refreshed(&[&mount.directory]);
    until("the command runs", || fs::read_to_string(&seen).is_ok_and(|seen| seen == "db\n"));
}

#[test]
fn refresh_takes_nothing_away_in_an_outage() {
    let vault = TestVault::with(&[("db", "one")]);
    let mount = vault.mount_with(&["--ttl", "1h"]);
    assert_eq!(mount.shell("ls values; cat values/db"), "db\none");
    for operation in [Operation::GetSecret, Operation::GetSecrets] {
        let unavailable = Fault::Status { status: 503, body: String::new() };
        vault.emulator.faults().queue(unavailable.on(operation).times(u32::MAX));
    }
    refreshed(&[&mount.directory]);
    assert_eq!(mount.shell("ls values; cat values/db"), "db\none");
}

#[test]
fn refresh_says_what_is_wrong() {
    let vault = TestVault::with(&[("db", "one")]);
    let mount = vault.mount();
    for (words, complaint) in [
        (vec![mount.folder.path()], "is in no mount of akvfs"),
        (vec![mount.directory.as_path(), Path::new("a_b")], "is no secret's name"),
    ] {
        let output = refresh(&words);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{}", shown(&output));
    }
}
