//! Every change meets every trouble: the caller hears of it in time, and the mount shows what the vault has.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use akvfs::emulator::{Fault, Operation};

use crate::support::{Mounted, TestVault, until};
use crate::writing::errno;

/// More than the deadline that the mounts here have.
const IN_TIME: Duration = Duration::from_secs(8);

fn refusal(status: u16, inner: &str) -> Fault {
    let body = format!(r#"{{"error":{{"code":"Forbidden","message":"no","innererror":{{"code":"{inner}"}}}}}}"#);
    Fault::Status { status, body }
}

/// What is done to a secret, and which operation of the vault's it takes.
struct Change {
    operation: Operation,
    act: fn(&Mounted) -> std::io::Result<()>,
}

const CHANGES: [Change; 6] = [
    Change {
        operation: Operation::SetSecret,
        act: |mount| {
            let mut file = fs::File::create(mount.path("secrets/db/current"))?;
            std::io::Write::write_all(&mut file, b"new")?;
            file.sync_all() // std tells nobody of close's error
        },
    },
    Change {
        operation: Operation::UpdateSecret,
        act: |mount| {
            let status = mount.try_shell("setfattr -n user.akv.content_type -v text/plain secrets/db");
            said(&status)
        },
    },
    Change {
        operation: Operation::DeleteSecret,
        act: |mount| fs::rename(mount.path("secrets/db"), mount.path("deleted/db")),
    },
    Change {
        operation: Operation::RecoverDeletedSecret,
        act: |mount| fs::rename(mount.path("deleted/gone"), mount.path("secrets/gone")),
    },
    Change {
        operation: Operation::PurgeDeletedSecret,
        act: |mount| {
            fs::remove_file(mount.path("deleted/gone/properties.json"))?;
            fs::remove_dir(mount.path("deleted/gone"))
        },
    },
    Change { operation: Operation::BackupSecret, act: |mount| fs::read(mount.path("backups/db")).map(drop) },
];

/// A program's errno by its words.
fn said(output: &std::process::Output) -> std::io::Result<()> {
    let words = String::from_utf8_lossy(&output.stderr);
    let known = [
        ("Permission denied", libc::EACCES),
        ("Device or resource busy", libc::EBUSY),
        ("Input/output error", libc::EIO),
        ("Protocol error", libc::EPROTO),
        ("No route to host", libc::EHOSTUNREACH),
        ("timed out", libc::ETIMEDOUT),
    ];
    match known.iter().find(|(text, _)| words.contains(text)) {
        Some((_, number)) => Err(std::io::Error::from_raw_os_error(*number)),
        None => Ok(()),
    }
}

fn listed(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The places that a change could have touched, as a mount shows them.
#[derive(PartialEq, Eq, Debug)]
struct View {
    values: Vec<(String, Vec<u8>)>,
    deleted: Vec<String>,
}

fn view(mount: &Mounted) -> View {
    let value = |name: String| (name.clone(), fs::read(mount.path("values").join(name)).unwrap());
    View {
        values: listed(&mount.path("secrets")).into_iter().map(value).collect(),
        deleted: listed(&mount.path("deleted")),
    }
}

fn is_readable(mount: &Mounted) -> bool {
    mount.try_shell("shopt -s nullglob; ls deleted && cat /dev/null secrets/*/current values/*").status.success()
}

#[test]
fn every_fault_of_every_change_has_its_number_in_time_and_leaves_the_truth() {
    for (fault, expected) in [
        (refusal(403, "ForbiddenByRbac"), libc::EACCES),
        (refusal(403, "ForbiddenByFirewall"), libc::EACCES),
        (Fault::Throttled(None), libc::EBUSY),
        (Fault::Status { status: 503, body: String::new() }, libc::EIO),
        (Fault::Html, libc::EPROTO),
        (Fault::Reset, libc::EHOSTUNREACH),
        (Fault::Hang, libc::ETIMEDOUT),
    ] {
        for Change { operation, act } in &CHANGES {
            let vault = TestVault::with(&[("db", "old"), ("gone", "x")]);
            let mount = vault.mount_with(&["--rw", "--allow-purge", "--deadline", "1s", "--ttl", "1h"]);
            mount.shell("rm -r secrets/gone");
            until("it is deleted", || {
                mount.shell("getfattr --only-values -n user.akv.state deleted/gone") == "deleted"
            });
            view(&mount);
            vault.emulator.faults().queue(fault.clone().on(*operation).times(u32::MAX));
            let start = Instant::now();
            let result = act(&mount);
            let what = format!("{fault:?} of {operation:?}");
            assert!(start.elapsed() < IN_TIME, "{what} took {:?}", start.elapsed());
            let got = errno(result);
            // A fault that repeats is retried up to the deadline, which may be what is told of in the end.
            assert!(got == expected || got == libc::ETIMEDOUT && is_retried(&fault), "{what}: {got}");
            vault.emulator.faults().clear();
            // A client that has met trouble leaves the vault alone for a moment.
            until(&what, || is_readable(&mount) && view(&mount) == view(&vault.mount()));
        }
    }
}

fn is_retried(fault: &Fault) -> bool {
    matches!(fault, Fault::Throttled(_) | Fault::Status { .. } | Fault::Reset)
}

#[test]
fn a_change_whose_answer_is_lost_has_happened_once() {
    for Change { operation, act } in CHANGES.iter().filter(|change| change.operation != Operation::BackupSecret) {
        let vault = TestVault::with(&[("db", "old"), ("gone", "x")]);
        let mount = vault.mount_with(&["--rw", "--allow-purge"]);
        mount.shell("rm -r secrets/gone");
        until("it is deleted", || mount.shell("getfattr --only-values -n user.akv.state deleted/gone") == "deleted");
        vault.emulator.faults().queue(Fault::Reset.on(*operation).after_effect());
        assert_eq!(errno(act(&mount)), 0, "{operation:?}");
        until(&format!("both show the same after {operation:?}"), || {
            is_readable(&mount) && view(&mount) == view(&vault.mount())
        });
    }
}

#[test]
fn a_signal_does_not_cut_a_change_off() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = vault.mount_with(&["--rw"]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::SetSecret));
    let mut writer = std::process::Command::new("sh");
    writer.args(["-c", "printf new > secrets/db/current"]).current_dir(&mount.directory);
    let mut writer = writer.spawn().unwrap();
    vault.until_hanging(1);
    let kill = std::process::Command::new("kill").arg("-INT").arg(writer.id().to_string()).status();
    assert!(kill.unwrap().success());
    std::thread::sleep(Duration::from_millis(200)); // several looks at the signal
    assert!(writer.try_wait().unwrap().is_none(), "the set is on the wire");
    vault.emulator.faults().release();
    writer.wait().unwrap();
    assert_eq!(crate::writing::value(&vault, "db"), b"new");
    assert_eq!(crate::writing::versions(&vault, "db"), 2);
}

#[test]
fn what_was_acknowledged_outlives_a_crash_and_nothing_else_was() {
    let vault = TestVault::with(&[("db", "old"), ("other", "old")]);
    let mount = vault.mount_with(&["--rw"]);
    let path = mount.path("secrets/db/current");
    let mut synced = fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut synced, b"synced").unwrap();
    synced.sync_all().unwrap();
    fs::write(mount.path("secrets/other/current"), "closed").unwrap();
    std::io::Write::write_all(&mut synced, b" and more").unwrap();
    let daemon = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let ours = line.windows(8).any(|part| part == b"\0mount\0h") && {
            let directory = mount.directory.to_str().unwrap().as_bytes();
            line.windows(directory.len()).any(|part| part == directory)
        };
        ours.then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    });
    for process in daemon {
        assert!(std::process::Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
    }
    until("it is dead", || fs::metadata(&path).is_err());
    drop(synced);
    assert_eq!(crate::writing::value(&vault, "db"), b"synced");
    assert_eq!(crate::writing::value(&vault, "other"), b"closed");
}
