//! Rotations that reach who reads, and outages that do not.

use std::fs;
use std::path::{Path, PathBuf};

use akvfs::emulator::{Fault, Operation};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::geteuid;

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

#[test]
fn who_watches_a_file_or_its_directory_sees_a_rotation_once() {
    if !geteuid().is_root() {
        return; // only root can make events on a read-only mount
    }
    let vault = TestVault::with(&[("db", "one"), ("empty", "")]);
    let mount = vault.mount_with(&["--ttl", "2s"]);
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let wanted = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ATTRIB;
    let [directory, file, current, of_empty] =
        ["values", "values/db", "secrets/db/current", "values/empty"].map(|path| {
            let watched = mount.path(path);
            fs::metadata(&watched).unwrap();
            watch.add_watch(&watched, wanted).unwrap()
        });
    let mut seen = Vec::new();
    let mut rotate = |name: &str, value: &str, events: usize| {
        vault.put(name, value);
        until("the events come", || {
            fs::read(mount.path("values").join(name)).unwrap();
            match watch.read_events() {
                Ok(events) => seen.extend(events.into_iter().map(|event| (event.wd, event.mask, event.name))),
                Err(error) => assert_eq!(error, nix::errno::Errno::EAGAIN),
            }
            seen.len() >= events
        });
        std::mem::take(&mut seen)
    };
    fs::read(mount.path("values/db")).unwrap();
    fs::read(mount.path("values/empty")).unwrap();
    for value in ["two", ""] {
        let events = rotate("db", value, 6);
        let of = |watch| -> Vec<_> { events.iter().filter(|event| event.0 == watch).map(|event| event.1).collect() };
        let written = [AddWatchFlags::IN_MODIFY, AddWatchFlags::IN_CLOSE_WRITE];
        assert_eq!((of(directory), of(file), of(current)), (written.into(), written.into(), written.into()));
        assert!(events.iter().all(|event| event.0 != directory || event.2.as_deref() == Some("db".as_ref())));
        assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), value);
        assert_eq!(fs::metadata(mount.path("values/db")).unwrap().len(), value.len() as u64);
    }
    let events = rotate("empty", "no more", 4);
    assert!(events.iter().any(|event| event.0 == of_empty));
    let refused = fs::File::options().write(true).open(mount.path("values/db")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(nix::libc::EROFS), "for everybody else it is read-only as before");
    assert!(mount.shell("findmnt -no OPTIONS .").starts_with("ro,"));
}

#[test]
fn a_bind_mount_of_one_file_and_a_watch_on_it_outlive_rotations() {
    if !geteuid().is_root() {
        return; // only root can bind
    }
    let vault = TestVault::with(&[("db", "one")]);
    let mount = vault.mount_with(&["--ttl", "2s", "--keep-fresh", "forever"]);
    let bound = mount.folder.path().join("bound");
    fs::write(&bound, "").unwrap();
    let _unbound = Bound::on(&mount.path("values/db"), &bound);
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    watch.add_watch(&bound, AddWatchFlags::IN_CLOSE_WRITE).unwrap();
    assert_eq!(fs::read_to_string(&bound).unwrap(), "one");
    for value in ["three", "x"] {
        vault.put("db", value);
        until("the event comes, though nobody reads", || watch.read_events().is_ok());
        assert_eq!(fs::read_to_string(&bound).unwrap(), value);
        assert_eq!(fs::metadata(&bound).unwrap().len(), value.len() as u64);
    }
}

/// A bind mount, gone when dropped.
struct Bound(PathBuf);

impl Bound {
    fn on(from: &Path, to: &Path) -> Bound {
        let flags = nix::mount::MsFlags::MS_BIND;
        nix::mount::mount(Some(from), to, None::<&str>, flags, None::<&str>).unwrap();
        Bound(to.to_owned())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
