//! `--page-cache`: what the kernel keeps is never another version's, and a rotation moves the name.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::geteuid;

use crate::support::{Mounted, TestVault, has_program, until};

/// Noticed soon, though nobody reads.
const FLAGS: &[&str] = &["--page-cache", "--ttl", "2s", "--keep-fresh", "forever"];

fn long(of: char) -> String {
    of.to_string().repeat(25_600)
}

/// Bytes of a file that the kernel keeps.
fn kept(mount: &Mounted, file: &str) -> usize {
    mount.shell(&format!("fincore --bytes --noheadings --output RES {file}")).trim().parse().unwrap()
}

#[test]
fn the_kernel_keeps_values_only_if_it_is_asked_to() {
    if !has_program("fincore") {
        return;
    }
    let vault = TestVault::with(&[("db", &long('a'))]);
    for (flag, at_least) in [(None, 0), (Some("--page-cache"), 25_600)] {
        let mount = vault.mount_with(flag.as_slice());
        vault.emulator.clear_requests();
        for _ in 0..3 {
            assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), long('a'));
        }
        assert_eq!(vault.got().len(), 1, "looking the name up and opening it share a request");
        let kept = kept(&mount, "values/db");
        assert!(if at_least == 0 { kept == 0 } else { kept >= at_least }, "{kept} with {flag:?}");
    }
}

#[test]
fn whoever_has_a_kept_file_open_goes_on_reading_its_version() {
    let vault = TestVault::with(&[("db", &long('a'))]);
    let mount = vault.mount_with(FLAGS);
    let file = mount.path("values/db");
    let mut open = Vec::new();
    // Shorter and longer ones, and the same length again.
    for value in [long('a'), "short".into(), long('b'), String::new(), long('c')] {
        vault.put("db", value.as_str());
        until("the rotation is noticed", || fs::read_to_string(&file).unwrap() == value);
        assert_eq!(fs::metadata(&file).unwrap().len(), value.len() as u64);
        let mut reader = File::open(&file).unwrap();
        let mut begun = vec![0; value.len().min(100)];
        reader.read_exact(&mut begun).unwrap();
        open.push((value, begun, reader));
    }
    for (value, mut read, mut reader) in open {
        assert_eq!(reader.metadata().unwrap().len(), value.len() as u64);
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, value.as_bytes());
    }
}

#[test]
fn a_decoded_value_follows_its_tag_and_is_not_kept() {
    let vault = TestVault::with(&[("db", "YWJj")]);
    let mount = vault.mount_with(FLAGS);
    assert_eq!(mount.shell("cat values/db"), "YWJj");
    let writer = vault.mount_with(&["--rw"]);
    for (encoding, shown) in [("base64", "abc"), ("none", "YWJj"), ("hex", "YWJj")] {
        writer.shell(&format!("setfattr -n user.akv.tag.file-encoding -v {encoding} secrets/db"));
        until("the tag is noticed", || mount.shell("cat values/db") == shown);
        assert_eq!(mount.shell("stat -c %s values/db").trim(), shown.len().to_string());
    }
}

#[test]
fn who_watches_the_directory_of_kept_files_sees_a_rotation_once() {
    if !geteuid().is_root() {
        return; // only root can make events on a read-only mount
    }
    let vault = TestVault::with(&[("db", "one")]);
    let mount = vault.mount_with(FLAGS);
    let written = [AddWatchFlags::IN_MODIFY, AddWatchFlags::IN_CLOSE_WRITE];
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    watch.add_watch(&mount.path("values"), written[0] | written[1]).unwrap();
    let number = || fs::metadata(mount.path("values/db")).unwrap().ino();
    assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), "one");
    let first = number();
    vault.put("db", "three");
    let mut seen = Vec::new();
    until("the events come", || {
        seen.extend(watch.read_events().into_iter().flatten().map(|event| (event.mask, event.name)));
        seen.len() >= written.len()
    });
    assert_eq!(seen, written.map(|mask| (mask, Some("db".into()))));
    assert_eq!(fs::read_to_string(mount.path("values/db")).unwrap(), "three");
    assert_ne!(number(), first, "it is another file, as after rename(2)");
}
