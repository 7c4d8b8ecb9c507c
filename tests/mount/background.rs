//! The process behind a mount in the background.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use akvfs::emulator::{Fault, Operation};

use crate::foreground::signal;
use crate::support::{Helper, Mounted, TestVault, akvfs, mount_type, needs_fuse, shown, until};

/// The processes whose arguments name the mount point.
fn processes(directory: &Path) -> Vec<u32> {
    let name = directory.to_str().unwrap();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers.filter(|process| arguments(*process).iter().any(|argument| argument == name)).collect()
}

fn arguments(process: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

#[test]
fn it_is_called_akvfs_and_keeps_nothing_it_was_started_with() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mount");
    let command = vault.mount_command(&directory);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9</etc/passwd; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let output = shell.current_dir(&vault.folder).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let mount = Mounted { folder, directory };

    let [process] = processes(&mount.directory)[..] else { panic!("one process has the mount") };
    assert_eq!(fs::read_to_string(format!("/proc/{process}/comm")).unwrap(), "akvfs\n");
    assert_eq!(arguments(process)[0], "akvfs");
    if nix::unistd::geteuid().is_root() {
        // What the process itself forbids its own user to look at.
        let open = fs::read_dir(format!("/proc/{process}/fd"))
            .unwrap()
            .filter_map(|entry| entry.ok()?.path().read_link().ok());
        assert!(!open.into_iter().any(|path| path == Path::new("/etc/passwd")));
        assert_eq!(fs::read_link(format!("/proc/{process}/cwd")).unwrap(), Path::new("/"));
    }
}

#[test]
fn it_ends_when_the_command_that_waits_for_it_is_killed() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecrets).times(u32::MAX));
    let directory = vault.path("mount");
    let mut command = vault.mount_command(&directory);
    let mut waiting =
        Helper(command.args(["--deadline", "1h", "--ready-timeout", "1h"]).stderr(Stdio::null()).spawn().unwrap());
    vault.until_hanging(1);
    assert_eq!(processes(&directory).len(), 2);
    signal(waiting.0.id(), "KILL");
    waiting.0.wait().unwrap();
    until("the background process has ended", || processes(&directory).is_empty());
    assert_eq!(mount_type(&directory), None);
}

#[test]
fn a_signal_before_it_is_ready_fails_the_command() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecrets).times(u32::MAX));
    let directory = vault.path("mount");
    let mut command = vault.mount_command(&directory);
    let waiting = command.args(["--deadline", "1h", "--ready-timeout", "1h"]).stderr(Stdio::piped()).spawn().unwrap();
    vault.until_hanging(1);
    let parent = waiting.id();
    let background = processes(&directory).into_iter().find(|process| *process != parent).unwrap();
    signal(background, "TERM");
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("ended by a signal before the mount was ready"), "{}", shown(&output));
}

#[test]
fn what_a_killed_process_left_in_the_runtime_folder_is_removed_by_the_next() {
    needs_fuse();
    let runtime_folder = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mount");
    let mount = || {
        let mut command = akvfs();
        command.env_remove("RUNTIME_DIRECTORY").env("XDG_RUNTIME_DIR", runtime_folder.path());
        let output = command.args(["mount", "demo:"]).arg(&directory).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
    };
    let left =
        || fs::read_dir(runtime_folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    mount();
    let first = left();
    signal(processes(&directory)[0], "KILL");
    until("the process is gone", || processes(&directory).is_empty());
    assert_eq!(left(), first);
    mount();
    let _mounted = Mounted { folder, directory: directory.clone() };
    assert_eq!(left().len(), 1);
    assert_ne!(left(), first);
}
