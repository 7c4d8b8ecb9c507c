//! Programs that trust the size that the kernel knows: splice(2), sendfile(2), mappings.

use std::fs;
use std::time::Duration;

use akvfs::emulator::{Fault, Operation};

use crate::support::{Mounted, TestVault, has_program};

/// Sends a file through a pipe without a look at its size, as some programs do, and prints it.
const SEND: &str = "python3 -c '
import os, sys
source = os.open(sys.argv[1], os.O_RDONLY)
reader, writer = os.pipe()
os.set_blocking(writer, False)
while os.sendfile(writer, source, None, 1 << 16):
    os.write(1, os.read(reader, 1 << 16))
'";

fn long(of: char) -> String {
    of.to_string().repeat(25_600)
}

fn sent(mount: &Mounted, file: &str) -> String {
    mount.shell(&format!("{SEND} {file}"))
}

#[test]
fn a_file_that_was_only_listed_is_sent_whole() {
    let value = long('a');
    let vault = TestVault::with(&[("long", &value), ("short", "abc"), ("page", &value[..4097]), ("empty", "")]);
    for file in ["values/long", "secrets/long/current"] {
        let mount = vault.mount();
        mount.shell("ls values secrets/long");
        assert_eq!(sent(&mount, file).len(), value.len(), "{file}");
        assert_eq!(sent(&mount, "values/short"), "abc");
        assert_eq!(sent(&mount, "values/page"), value[..4097]);
        assert_eq!(sent(&mount, "values/empty"), "");
    }
    if has_program("busybox") {
        let mount = vault.mount();
        assert_eq!(mount.shell("ls values > /dev/null; busybox cat values/long"), value);
    }
}

#[test]
fn a_rotated_file_is_sent_whole_however_its_length_changed() {
    let vault = TestVault::with(&[("db", "short")]);
    let mount = vault.mount_with(&["--ttl", "0s"]);
    for value in [long('a'), "b".to_owned(), long('c'), String::new(), "d".to_owned()] {
        vault.put("db", value.as_str());
        assert_eq!(sent(&mount, "values/db"), value);
        assert_eq!(fs::metadata(mount.path("values/db")).unwrap().len(), value.len() as u64);
        mount.shell("ls values");
        assert_eq!(sent(&mount, "values/db"), value);
    }
}

#[test]
fn a_listing_cuts_no_mapping_off() {
    let vault = TestVault::with(&[("db", &long('a'))]);
    let mount = vault.mount_with(&["--ttl", "0s"]);
    let read = mount.shell(
        "python3 -c '
import mmap, subprocess
file = open(\"values/db\", \"rb\")
mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
subprocess.run([\"ls\", \"values\", \"secrets/db\"], check=True, stdout=subprocess.DEVNULL)
print(mapping[:].decode(), end=\"\")
'",
    );
    assert_eq!(read, long('a'));
}

#[test]
fn a_file_whose_lookup_was_not_answered_in_time_is_sent_whole() {
    let vault = TestVault::with(&[("slow", &long('a'))]);
    let mount = vault.mount();
    // More than a lookup waits, less than an open.
    vault.emulator.faults().queue(Fault::Latency(Duration::from_secs(3)).on(Operation::GetSecret));
    assert_eq!(sent(&mount, "values/slow").len(), long('a').len());
}

#[test]
fn a_long_listing_of_backups_makes_each_once_and_archives_hold_them_whole() {
    let vault = TestVault::with(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]);
    let mount = vault.mount();
    mount.shell("ls backups");
    assert_eq!(vault.requests(Operation::BackupSecret).len(), 0);
    let listed = mount.shell("ls -l backups | awk 'NR > 1 {print $5}'");
    mount.shell(
        "tar cf $SCRATCH/all.tar backups && cp -a backups $SCRATCH/copied && wc -c backups/* > $SCRATCH/counted",
    );
    assert_eq!(vault.requests(Operation::BackupSecret).len(), 5);
    assert_eq!(mount.shell("tar tvf $SCRATCH/all.tar --wildcards 'backups/?' | awk '{print $3}'"), listed);
    assert_eq!(mount.shell("stat -c %s $SCRATCH/copied/*"), listed);
    assert!(listed.lines().all(|size| size.parse::<u64>().unwrap() > 100), "{listed}");
}

#[test]
fn a_directory_is_found_without_its_value() {
    let vault = TestVault::with(&[("db", "x")]);
    let version = vault.put("db", "y");
    let mount = vault.mount();
    assert!(fs::metadata(mount.path("secrets/db")).unwrap().is_dir());
    assert!(mount.path(&format!("secrets/db/{version}")).symlink_metadata().is_ok());
    assert!(!mount.path("secrets/absent").exists());
    assert_eq!(vault.got(), ["absent", "db"], "the version's size, and a name that no listing has");
}

#[test]
fn an_absent_name_is_absent_however_slow_the_vault_is() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount();
    vault.emulator.faults().queue(Fault::Latency(Duration::from_millis(600)).on(Operation::GetSecret));
    assert!(!mount.try_shell("test -e values/absent").status.success());
}
