//! fsx, the file system exerciser (`cargo install fsx`): seeded random reads, writes, truncations, mappings and
//! reopenings of one file, each compared with what it must hold.
//!
//! What does not apply, and why:
//! - Holes: a secret has no blocks to give back, so punching one is EOPNOTSUPP.
//! - Block mode is for devices.
//! - Of `current`, writing through a mapping amid all the rest: a mapping belongs to the inode, while what is written
//!   belongs to the open file, and what a mapping has changed comes when the kernel likes: it crosses with truncations,
//!   and the size can be wrong for a moment. By itself it works, which `a_value_can_be_changed_through_a_mapping` holds.
//! - Of `current`, sizes over 19,000 bytes: random bytes are no text, so they are kept in base64, and 25,600
//!   characters are the service's limit.
//! - Of `current`, being reopened before anything is written: fsx begins with a truncating open, which alone makes
//!   no version. The seeds are such that something is written first.

use std::fs;
use std::process::Command;

use crate::support::{Mounted, TestVault, has_program, shown};
use crate::writing::versions;

const CURRENT: &str = "
flen = 19000
[opsize]
max = 4096
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 0
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 1
sendfile = 5
posix_fadvise = 1
copy_file_range = 1
";

const SCRATCH: &str = "
flen = 262144
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 1
sendfile = 5
posix_fadvise = 1
copy_file_range = 1
";

fn exercise(mount: &Mounted, file: &str, settings: &str, seed: u32, operations: u32) {
    let configuration = mount.folder.path().join("fsx.toml");
    fs::write(&configuration, settings).unwrap();
    let mut fsx = Command::new("fsx");
    fsx.arg("-f").arg(&configuration).arg("-P").arg(mount.folder.path());
    fsx.args(["-S", &seed.to_string(), "-N", &operations.to_string()]).arg(mount.path(file));
    let output = fsx.output().unwrap();
    assert!(output.status.success(), "{file}, seed {seed}: {}", shown(&output));
}

#[test]
fn a_scratch_file_is_a_file_to_the_exerciser() {
    if !has_program("fsx") {
        return;
    }
    let vault = TestVault::with(&[("db", "old")]);
    let mount = vault.mount_with(&["--rw"]);
    for seed in [1, 2] {
        exercise(&mount, "secrets/db/.fsx", SCRATCH, seed, 1000);
    }
    assert_eq!(versions(&vault, "db"), 1, "nothing of it is sent");
}

#[test]
fn a_value_is_a_file_to_the_exerciser() {
    if !has_program("fsx") {
        return;
    }
    let vault = TestVault::with(&[("db", "old")]);
    let mount = vault.mount_with(&["--rw", "--binary"]);
    for seed in [1, 3, 4, 7] {
        exercise(&mount, "secrets/db/current", CURRENT, seed, 300);
    }
    assert!(versions(&vault, "db") > 4);
}
