//! What others do to a mount and its place: locks, signals, other mounts, a process that is stopped, a
//! log that nobody reads.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::foreground::Foreground;
use crate::support::{Helper, Mounted, PATIENCE, TestVault, akvfs, missing, mount_type, needs_fuse, shown, until};

/// The command must end in time, with the code and these words.
fn refused(mut command: Command, code: i32, words: &str) {
    let start = Instant::now();
    let output = command.output().unwrap();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{}", shown(&output));
}

fn unmount(directory: &Path, flags: &[&str]) -> Output {
    akvfs().arg("unmount").args(flags).arg(directory).output().unwrap()
}

fn only_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        missing(&format!("only root can {what}"));
    }
    root
}

#[test]
fn a_lock_on_the_directory_is_not_waited_for_without_end() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let held = File::open(folder.path()).unwrap();
    held.lock().unwrap();
    refused(vault.mount_command(folder.path()), 1, "locked by another process");
    assert_eq!(mount_type(folder.path()), None);
}

#[test]
fn a_signal_as_soon_as_the_mount_is_there_leaves_none() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    for signal in ["TERM", "INT", "QUIT", "TERM", "INT", "QUIT"] {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("mount");
        let mut command = vault.mount_command(&directory);
        let process = Helper(command.arg("--foreground").stderr(Stdio::null()).spawn().unwrap());
        until("the mount is there", || mount_type(&directory).is_some());
        let mut foreground = Foreground { process, mount: Mounted { folder, directory } };
        foreground.signal(signal);
        assert_eq!(foreground.ends(), Some(0), "{signal}");
        assert_eq!(mount_type(&foreground.mount.directory), None, "{signal}");
    }
}

#[test]
fn a_signal_unmounts_wherever_the_mount_has_gone() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(foreground.mount.folder.path(), &moved).unwrap();
    assert_eq!(mount_type(&moved.join("mount")).as_deref(), Some("fuse.akvfs"));
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert_eq!(mount_type(&moved.join("mount")), None);
    fs::rename(&moved, foreground.mount.folder.path()).unwrap();
}

#[test]
fn a_signal_to_a_covered_mount_ends_it_and_says_what_is_left() {
    if !only_root("mount over a mount") {
        return;
    }
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::with(&vault, Stdio::piped(), &[]);
    let directory = foreground.mount.directory.clone();
    let cover = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&directory).status().unwrap();
    assert!(cover.success());
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(1));
    let mut told = String::new();
    foreground.process.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("something else is mounted over it"), "{told}");
    assert_eq!(mount_type(&directory).as_deref(), Some("tmpfs"), "a stranger's mount stays");
    assert!(Command::new("umount").arg(&directory).status().unwrap().success());
    let output = unmount(&directory, &[]);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&directory), None);
}

#[test]
fn a_container_that_keeps_the_mount_does_not_keep_the_process() {
    if !only_root("make a mount namespace") {
        return;
    }
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let mut container = Command::new("unshare");
    container.args(["--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 600"]);
    let mut container = Helper(container.stdout(Stdio::piped()).spawn().unwrap());
    container.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert_eq!(mount_type(&foreground.mount.directory), None);
}

#[test]
fn a_mount_whose_process_is_stopped_is_told_apart_and_can_be_taken_away() {
    let vault = TestVault::with(&[("db", "x")]);
    let foreground = Foreground::of(&vault);
    foreground.signal("STOP");
    refused(vault.mount_command(&foreground.mount.directory), 5, "does not answer");
    refused(vault.mount_command(&foreground.mount.path("values/below")), 5, "does not answer");
    let output = unmount(&foreground.mount.directory, &["--lazy"]);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&foreground.mount.directory), None);
    foreground.signal("CONT");
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let vault = TestVault::with(&[("db", "x")]);
    let (unread, stderr) = std::io::pipe().unwrap();
    let mut foreground = Foreground::with(&vault, stderr, &["--log-level", "debug"]);
    // A line each, far more than a pipe holds.
    for number in 0..2000 {
        assert!(fs::metadata(foreground.mount.path("values").join(format!("absent_{number}"))).is_err());
    }
    assert_eq!(fs::read(foreground.mount.path("values/db")).unwrap(), b"x");
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert_eq!(mount_type(&foreground.mount.directory), None);
    drop(unread);
}

#[test]
fn a_log_that_is_closed_ends_nothing() {
    let vault = TestVault::with(&[("db", "x")]);
    let (reader, stderr) = std::io::pipe().unwrap();
    drop(reader);
    let mut foreground = Foreground::with(&vault, stderr, &[]);
    assert_eq!(fs::read(foreground.mount.path("values/db")).unwrap(), b"x");
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
}

#[test]
fn a_call_that_fails_again_and_again_is_logged_once_with_its_path() {
    let vault = TestVault::demo();
    let log = vault.path("log");
    let mut foreground = Foreground::with(&vault, File::create(&log).unwrap(), &[]);
    for _ in 0..10 {
        let error = fs::read(foreground.mount.path("secrets/disabled/current")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    }
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("/secrets/disabled/current")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("open") && told[0].contains("disabled: enable it"), "{log}");
}
