//! What `akvfs mount` waits for.

use std::fs;

use akvfs::emulator::{Fault, Operation};

use crate::support::{TestVault, mount_type, shown};

#[test]
fn mounted_needs_no_vault() {
    let vault = TestVault::with(&[("db", "x")]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecrets).times(u32::MAX));
    let mount = vault.mount_with(&["--ready", "mounted"]);
    assert_eq!(vault.emulator.faults().hanging(), 0, "nothing was asked");
    vault.emulator.faults().clear();
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");
}

#[test]
fn listed_has_the_listing_before_the_first_ls() {
    let vault = TestVault::empty();
    for number in 0..60 {
        vault.put(&format!("secret-{number}"), "x");
    }
    let mount = vault.mount_with(&["--ready", "listed"]);
    assert_eq!(fs::read_dir(mount.path("values")).unwrap().count(), 60);
    assert_eq!(vault.requests(Operation::GetSecrets).len(), 0);
}

#[test]
fn a_vault_that_is_not_ready_in_time_is_4_and_nothing_is_mounted() {
    let vault = TestVault::with(&[("db", "x")]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecrets).times(u32::MAX));
    for when in ["authenticated", "listed"] {
        let directory = vault.path("mount");
        let mut command = vault.mount_command(&directory);
        let output = command.args(["--ready", when, "--ready-timeout", "100ms", "--deadline", "1h"]).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
        assert!(shown(&output).contains("did not answer in time"), "{}", shown(&output));
        assert_eq!(mount_type(&directory), None);
        assert!(!directory.exists());
    }
}
