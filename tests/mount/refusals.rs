//! What is refused, and with which number.

use std::fs;
use std::io;

use akvfs::emulator::{Fault, NewSecret, Operation};

use crate::support::{HOUR, TestVault, until};

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

#[test]
fn each_answer_of_the_vault_has_its_errno() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount_with(&["--ttl", "0s", "--deadline", "5s"]);
    let refusal = |status: u16, inner: &str| Fault::Status {
        status,
        body: format!(r#"{{"error":{{"code":"Forbidden","message":"no","innererror":{{"code":"{inner}"}}}}}}"#),
    };
    let html = |status| Fault::Status { status, body: "<html>no</html>".to_owned() };
    for (fault, expected) in [
        (refusal(403, "ForbiddenByRbac"), libc::EACCES),
        (refusal(403, "ForbiddenByFirewall"), libc::EACCES),
        (refusal(409, "ObjectIsBeingRecovered"), libc::EBUSY),
        (html(503), libc::EIO),
        (html(404), libc::EPROTO),
        (Fault::Html, libc::EPROTO),
        (Fault::BadJson, libc::EPROTO),
        (Fault::Oversize(8 * 1024 * 1024), libc::EPROTO),
        (Fault::Reset, libc::EHOSTUNREACH),
        (Fault::TruncatedBody, libc::EHOSTUNREACH),
        (Fault::Throttled(None), libc::EBUSY), // the last one: it stops every call for a while
    ] {
        let name = format!("{fault:?}");
        vault.emulator.faults().queue(fault.on(Operation::GetSecret).times(u32::MAX));
        vault.emulator.faults().queue(html(503).on(Operation::GetSecrets).times(u32::MAX));
        assert_eq!(errno(fs::read(mount.path("values/db"))), expected, "{name}");
        vault.emulator.faults().clear();
    }
    until("the vault may be asked again", || fs::read(mount.path("values/db")).is_ok_and(|bytes| bytes == b"x"));
}

#[test]
fn a_disabled_secret_is_eacces_and_harms_no_other() {
    let vault = TestVault::with(&[("on", "x")]);
    vault.put("off", NewSecret { enabled: false, ..NewSecret::from("y") });
    let mount = vault.mount();
    assert_eq!(errno(fs::read(mount.path("secrets/off/current"))), libc::EACCES);
    assert_eq!(errno(fs::read(mount.path("values/off"))), libc::EACCES);
    assert_eq!(fs::read(mount.path("values/on")).unwrap(), b"x");
}

#[test]
fn nothing_can_be_changed_on_a_read_only_mount() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount_with(&["--file-mode", "0600", "--dir-mode", "0700"]);
    let changes: [(&str, io::Result<()>); 7] = [
        ("write", fs::write(mount.path("secrets/db/current"), "y")),
        ("create", fs::write(mount.path("values/new"), "y")),
        ("mkdir", fs::create_dir(mount.path("secrets/new"))),
        ("unlink", fs::remove_file(mount.path("values/db"))),
        ("rmdir", fs::remove_dir(mount.path("secrets/db"))),
        ("rename", fs::rename(mount.path("values/db"), mount.path("values/other"))),
        ("symlink", std::os::unix::fs::symlink("x", mount.path("values/link"))),
    ];
    for (what, result) in changes {
        assert_eq!(errno(result), libc::EROFS, "{what}");
    }
    assert_eq!(vault.requests(Operation::SetSecret), []);
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");
}

#[test]
fn a_refused_token_is_replaced_by_the_files_new_one_and_never_sent_again() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount_with(&["--ttl", "0s", "--stale-if-error", "0s"]);
    fs::write(vault.path("token"), vault.emulator.issue_token(2 * HOUR)).unwrap();
    vault.emulator.faults().queue(Fault::ExpiredToken.on(Operation::GetSecret));
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");
    vault.emulator.clear_requests();
    vault.emulator.faults().queue(Fault::ExpiredToken.on(Operation::GetSecret).times(u32::MAX));
    for _ in 0..3 {
        assert_eq!(errno(fs::read(mount.path("values/db"))), libc::EACCES);
    }
    let with_token = vault.requests(Operation::GetSecret).len();
    assert!(with_token <= 2, "{with_token} requests: one with the token that was refused, one to see the challenge");
}

#[test]
fn a_fifo_in_the_token_files_place_blocks_nobody_while_the_old_token_is_good() {
    let vault = TestVault::with(&[("a", "x"), ("b", "x"), ("c", "x")]);
    let mount = vault.mount_with(&["--ttl", "0s", "--stale-if-error", "0s"]);
    fs::rename(vault.path("token"), vault.path("kept")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(vault.path("token")).status().unwrap().success());
    std::thread::scope(|scope| {
        let readers = ["a", "b", "c"].map(|name| {
            let path = mount.path("values").join(name);
            scope.spawn(move || fs::read(path))
        });
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap(), b"x");
        }
    });
    vault.emulator.faults().queue(Fault::ExpiredToken.on(Operation::GetSecret));
    assert_eq!(errno(fs::read(mount.path("values/a"))), libc::EACCES, "the old one is refused, and there is no other");
    fs::remove_file(vault.path("token")).unwrap();
    fs::write(vault.path("token"), vault.emulator.issue_token(2 * HOUR)).unwrap();
    until("the new token is found", || fs::read(mount.path("values/a")).is_ok_and(|bytes| bytes == b"x"));
}
