//! What directories show, and what that costs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use akvfs::emulator::{Fault, NewSecret, Operation};
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::support::{Mounted, TestVault, akvfs, until};

#[test]
fn a_plain_ls_gets_no_value_and_ls_l_gets_each_once_in_parallel() {
    let names: Vec<String> = (0..60).map(|number| format!("secret-{number:02}")).collect();
    let vault = TestVault::empty();
    for name in &names {
        vault.put(name, name.as_str());
    }
    let mount = vault.mount();
    mount.shell("ls values");
    assert_eq!(vault.got(), Vec::<String>::new());
    let latency = std::time::Duration::from_millis(100);
    vault.emulator.faults().queue(Fault::Latency(latency).on(Operation::GetSecret).times(u32::MAX));
    let start = Instant::now();
    let sizes = mount.shell("ls -l values | awk 'NR > 1 { print $5 }' | sort -u");
    assert_eq!(sizes, "9\n");
    assert_eq!(vault.got(), names);
    // One after the other they would take 6 s; this is no measure of speed, but of parallelism.
    assert!(start.elapsed() < latency * 40, "{:?}", start.elapsed());
}

#[test]
fn lazy_sizes_are_known_from_the_first_open_on() {
    let vault = TestVault::with(&[("a", "one"), ("b", "three")]);
    let mount = vault.mount_with(&["--sizes", "lazy"]);
    let sizes = || mount.shell("ls -l values backups | awk 'NF > 2 { print $9, $5 }'");
    assert_eq!(sizes(), "a 0\nb 0\na 0\nb 0\n");
    assert!(vault.got().is_empty() && vault.requests(Operation::BackupSecret).is_empty());
    assert_eq!(mount.shell("cat values/b; stat -c %s values/b; busybox cat secrets/a/current"), "three5\none");
    assert_eq!(sizes(), "a 0\nb 0\na 3\nb 5\n", "backups come first");
}

#[test]
fn two_thousand_secrets_are_listed_with_one_request_a_page() {
    let vault = TestVault::empty();
    for number in 0..2000 {
        vault.put(&format!("secret-{number:04}"), "x");
    }
    let mount = vault.mount();
    assert_eq!(mount.shell("ls secrets | wc -l"), "2000\n");
    assert_eq!(vault.emulator.requests().len(), 80);
    assert_eq!(mount.shell("ls values | wc -l; ls -f secrets | sort -u | wc -l"), "2000\n2002\n");
    assert_eq!(vault.emulator.requests().len(), 80, "one listing is shared by all directories");
}

#[test]
fn empty_and_short_pages_are_no_end() {
    let vault = TestVault::empty();
    for number in 0..30 {
        vault.put(&format!("secret-{number:02}"), "x");
    }
    let mount = vault.mount();
    vault.emulator.faults().queue(Fault::EmptyPages(120).on(Operation::GetSecrets));
    assert_eq!(mount.shell("ls values | wc -l"), "30\n");
}

#[test]
fn disabled_secrets_are_managed_but_not_values() {
    let vault = TestVault::with(&[("on", "x")]);
    vault.put("off", NewSecret { enabled: false, ..NewSecret::from("y") });
    let mount = vault.mount();
    assert_eq!(mount.shell("ls values"), "on\n");
    assert_eq!(mount.shell("ls secrets"), "off\non\n");
    assert_eq!(mount.shell("stat -c %s secrets/off/current"), "0\n");
    let properties: serde_json::Value = serde_json::from_str(&mount.shell("cat secrets/off/properties.json")).unwrap();
    assert_eq!(properties["attributes"]["enabled"], false);
}

#[test]
fn one_reader_keeps_its_listing_while_another_gets_the_next() {
    let vault = TestVault::empty();
    for number in 0..600 {
        vault.put(&format!("secret-{number:03}"), "x");
    }
    let mount = vault.mount_with(&["--ttl", "0s"]);
    let mut open = fs::read_dir(mount.path("values")).unwrap();
    let first = open.next().unwrap().unwrap().file_name();
    vault.put("a-new-one", "x");
    // Who comes while the first listing still grows shares it; once it has ended, it is fetched anew.
    until("another reader sees the new name", || mount.shell("ls values | wc -l") == "601\n");
    let rest: BTreeSet<_> = open.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(rest.len(), 599);
    assert!(!rest.contains(&first));
}

/// What an open directory holds, read from its beginning.
fn again(open: &mut Dir) -> BTreeSet<String> {
    open.iter().map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect()
}

/// A directory that the kernel lists by itself.
fn kept(mount: &Mounted, directory: &str) -> Dir {
    for _ in 0..4 {
        mount.shell(&format!("ls {directory}"));
    }
    Dir::open(&mount.path(directory), OFlag::O_RDONLY, Mode::empty()).unwrap()
}

#[test]
fn a_directory_that_stays_open_shows_what_is_new_after_the_ttl() {
    let vault = TestVault::with(&[("a", "1"), ("b", "2")]);
    let mount = vault.mount_with(&["--ttl", "2s"]);
    let mut open = kept(&mount, "secrets");
    for late in ["c", "d"] {
        vault.put(late, "3");
        until("the new secret shows", || again(&mut open).contains(late));
    }
}

#[test]
fn a_directory_that_stays_open_shows_what_is_new_after_a_refresh() {
    let vault = TestVault::with(&[("a", "1"), ("b", "2")]);
    let mount = vault.mount_with(&["--ttl", "1h"]);
    let mut open = kept(&mount, "secrets");
    for (late, words) in [("c", vec![]), ("d", vec!["d"])] {
        vault.put(late, "3");
        assert!(!again(&mut open).contains(late), "the ttl has not passed");
        assert!(akvfs().arg("refresh").arg(&mount.directory).args(words).status().unwrap().success());
        until("the new secret shows", || again(&mut open).contains(late));
    }
}

#[test]
fn a_new_secret_shows_after_the_ttl_though_the_kernel_has_listed_by_itself() {
    let vault = TestVault::with(&[("a", "1"), ("b", "2")]);
    let mount = vault.mount_with(&["--ttl", "2s"]);
    assert_eq!(mount.shell("cat values/*"), "12");
    drop((kept(&mount, "secrets"), kept(&mount, "values")));
    vault.put("c", "3");
    until("the new secret shows", || mount.shell("ls secrets values | xargs") == "secrets: a b c values: a b c\n");
    assert_eq!(mount.shell("ls -l values | awk 'NR > 1 { print $5, $9 }'"), "1 a\n1 b\n1 c\n");
}

#[test]
fn find_and_ls_agree_on_every_inode() {
    let vault = TestVault::demo();
    let mount = vault.mount();
    for entry in walk(&mount.directory) {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().ino(), entry_inode(&entry), "{}", entry.path().display());
    }
    assert_eq!(mount.shell("find . -mindepth 1 -type f -empty -name '*' -path './values/*'"), "./values/empty\n");
}

fn entry_inode(entry: &fs::DirEntry) -> u64 {
    std::os::unix::fs::DirEntryExt::ino(entry)
}

fn walk(directory: &std::path::Path) -> Vec<std::io::Result<fs::DirEntry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        if let Ok(entry) = &entry
            && entry.file_type().unwrap().is_dir()
        {
            found.extend(walk(&entry.path()));
        }
        found.push(entry);
    }
    found
}
