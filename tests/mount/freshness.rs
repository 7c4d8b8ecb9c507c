//! Rotations that reach who reads, and outages that do not.

use std::fs;

use akvfs::emulator::{Fault, Operation};

use crate::support::{TestVault, until};

#[test]
fn a_rotation_reaches_who_reads_and_the_command_runs_once() {
    let vault = TestVault::with(&[("db", "one"), ("other", "x")]);
    let seen = vault.path("seen");
    let command = format!("echo \"$AKVFS_SECRET $(cat \"$AKVFS_DIR/values/$AKVFS_SECRET\")\" >> {}", seen.display());
    let mount = vault.mount_with(&["--ttl", "2s", "--on-change", &command]);
    let file = mount.path("values/db");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
    assert_eq!(fs::read_to_string(mount.path("values/other")).unwrap(), "x");
    vault.put("db", "three");
    vault.put("other", "x"); // a new version with the same bytes
    until("the command runs", || {
        fs::read(mount.path("values/other")).unwrap(); // who is read is hot
        fs::read(&file).unwrap();
        seen.exists()
    });
    assert_eq!(fs::metadata(&file).unwrap().len(), 5, "the kernel has forgotten the old size");
    vault.put("db", "last");
    until("the command runs again", || {
        fs::read(mount.path("values/other")).unwrap();
        fs::read(&file).unwrap();
        fs::read_to_string(&seen).unwrap() == "db three\ndb last\n"
    });
}

#[test]
fn an_outage_is_not_seen_by_who_reads() {
    let vault = TestVault::with(&[("db", "x"), ("cold", "y")]);
    let mount = vault.mount_with(&["--ttl", "0s"]);
    let version = vault.put("db", "x");
    let [current, value, numbered] =
        ["secrets/db/current", "values/db", &format!("secrets/db/{version}")].map(|path| {
            assert_eq!(fs::read(mount.path(path)).unwrap(), b"x");
            mount.path(path)
        });
    mount.shell("ls values");
    let unavailable = || Fault::Status { status: 503, body: String::new() };
    for fault in [unavailable(), Fault::Firewall, Fault::Throttled(None), Fault::Reset, Fault::ExpiredToken] {
        for operation in [Operation::GetSecret, Operation::GetSecrets] {
            vault.emulator.faults().queue(fault.clone().on(operation).times(u32::MAX));
        }
        for path in [&current, &value, &numbered] {
            assert_eq!(fs::read(path).unwrap(), b"x", "{fault:?}");
        }
        assert_eq!(mount.shell("ls values"), "cold\ndb\n", "{fault:?}");
        assert!(fs::read(mount.path("values/cold")).is_err(), "there is nothing to serve: {fault:?}");
        vault.emulator.faults().clear();
    }
}

#[test]
fn o_direct_asks_the_vault_every_time() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = vault.mount_with(&["--ttl", "1h"]);
    assert_eq!(mount.shell("cat values/db"), "old");
    vault.put("db", "newer");
    assert_eq!(mount.shell("cat values/db"), "old");
    assert_eq!(mount.shell("dd if=values/db iflag=direct status=none"), "newer");
    assert_eq!(mount.shell("cat values/db"), "newer");
    vault.emulator.clear_requests();
    mount.shell("dd if=values/db iflag=direct status=none; dd if=values/db iflag=direct status=none");
    assert_eq!(vault.requests(Operation::GetSecret).len(), 2);
}
