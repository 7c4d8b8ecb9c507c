//! Without root: through fusermount3.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{Helper, TestVault, akvfs, has_program, missing, mount_type, shown, until};

const USER: u32 = 65534;

/// Whether an ordinary user can be played, and could mount.
fn can_play_a_user() -> bool {
    if !nix::unistd::geteuid().is_root() {
        missing("only root can play another user; run as one, all other tests mount as a user anyway");
        return false;
    }
    if fs::metadata("/dev/fuse").map_or(0, |device| device.mode()) & 0o006 != 0o006 {
        missing("/dev/fuse is closed to users: chmod 666 /dev/fuse");
        return false;
    }
    has_program("fusermount3")
}

/// A command of the user's. Supplementary groups are root's and would open doors.
fn as_user(mut command: Command) -> Output {
    command.uid(USER).gid(USER).env("HOME", "/nonexistent").output().unwrap()
}

fn users_own(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
}

/// A vault whose files the user can read, and a folder of the user's, with a command that the user can
/// run whatever the build's folder allows.
struct UsersWorld {
    vault: TestVault,
    folder: TempDir,
    program: PathBuf,
}

impl UsersWorld {
    fn new() -> UsersWorld {
        let vault = TestVault::with(&[("db", "hunter2")]);
        fs::set_permissions(vault.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        users_own(&vault.path("token"));
        let program = vault.path("akvfs");
        fs::copy(akvfs().get_program(), &program).unwrap();
        let folder = tempfile::tempdir().unwrap();
        users_own(folder.path());
        UsersWorld { vault, folder, program }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.vault.mount_command(&self.directory()).get_args());
        command
    }
}

#[test]
fn an_ordinary_user_mounts_reads_and_unmounts() {
    if !can_play_a_user() {
        return;
    }
    let world = UsersWorld::new();
    let directory = world.directory();
    let output = as_user(world.mount_command());
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&directory).as_deref(), Some("fuse.akvfs"));

    let read = |program: &str, path: &str| {
        let mut command = Command::new(program);
        command.arg(directory.join(path));
        as_user(command)
    };
    assert_eq!(read("cat", "values/db").stdout, b"hunter2");
    let touched = read("touch", "values/db");
    assert!(String::from_utf8_lossy(&touched.stderr).contains("Read-only file system"), "{}", shown(&touched));
    let root = fs::read(directory.join("values/db")).unwrap_err();
    assert_eq!(root.raw_os_error(), Some(libc::EACCES), "even root is kept out");

    assert_eq!(as_user(world.mount_command()).status.code(), Some(5));
    let mut unmount = Command::new(&world.program);
    unmount.arg("unmount").arg(&directory);
    let output = as_user(unmount);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&world.directory()), None);
}

#[test]
fn an_ordinary_user_manages_secrets() {
    if !can_play_a_user() {
        return;
    }
    let world = UsersWorld::new();
    let directory = world.directory();
    let mut mount = world.mount_command();
    mount.arg("--rw");
    let output = as_user(mount);
    assert!(output.status.success(), "{}", shown(&output));
    let run = |line: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", line]).current_dir(world.folder.path()).env("M", &directory);
        let output = as_user(shell);
        assert!(output.status.success(), "{line}: {}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    run("echo new > $M/secrets/db/current; test $(cat $M/values/db) = new");
    run("echo more >> $M/secrets/db/current; echo third | tee $M/secrets/db/current > /dev/null");
    run("mkdir $M/secrets/made; setfattr -n user.akv.content_type -v text/plain $M/secrets/made");
    run("echo x > file; cp file $M/secrets/made/current; test $(cat $M/values/made) = x");
    run("echo y > file; mv file $M/secrets/made/current; test $(cat $M/values/made) = y");
    run("sed -i s/y/z/ $M/secrets/made/current; test $(cat $M/values/made) = z");
    run("cp $M/backups/made blob; test -s blob");
    run("rm -r $M/secrets/db; test $(ls $M/secrets) = made");
    until("it is deleted", || run("getfattr --only-values -n user.akv.state $M/deleted/db") == "deleted");
    run("mv $M/deleted/db $M/secrets/");
    until("it is back", || run("getfattr --only-values -n user.akv.state $M/secrets/db") == "live");
    run("test $(cat $M/secrets/db/current) = third; mv $M/secrets/made $M/deleted/; test $(ls $M/secrets) = db");
    let versions = run("ls $M/secrets/db").lines().filter(|name| name.len() == 32).count();
    assert_eq!(versions, 4);
    let mut unmount = Command::new(&world.program);
    unmount.arg("unmount").arg(&directory);
    let output = as_user(unmount);
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn what_a_user_lacks_is_named() {
    if !can_play_a_user() {
        return;
    }
    let world = UsersWorld::new();

    let mut without_helper = world.mount_command();
    without_helper.env("PATH", "/nonexistent");
    let output = as_user(without_helper);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("install the package fuse3"), "{}", shown(&output));

    if fs::read_to_string("/etc/fuse.conf").is_ok_and(|text| text.lines().any(|line| line == "user_allow_other")) {
        missing("fuse.conf has user_allow_other, so its absence cannot be tried");
        return;
    }
    let mut for_others = world.mount_command();
    for_others.arg("--allow-other");
    let output = as_user(for_others);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/etc/fuse.conf"), "{}", shown(&output));
    assert_eq!(mount_type(&world.directory()), None);
}

#[test]
fn a_mount_of_another_users_is_named_live_or_dead() {
    if !can_play_a_user() {
        return;
    }
    let world = UsersWorld::new();
    let directory = world.directory();
    let mut mount = world.mount_command();
    let process = mount.arg("--foreground").uid(USER).gid(USER).env("HOME", "/nonexistent").stderr(Stdio::null());
    let mut process = Helper(process.spawn().unwrap());
    until("the mount is there", || mount_type(&directory).is_some());
    for state in ["live", "dead"] {
        let output = world.vault.mount_command(&directory).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{state}: {}", shown(&output));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("only user 65534 may look into") && told.contains("akvfs unmount"), "{state}: {told}");
        process.0.kill().unwrap();
        process.0.wait().unwrap();
    }
    let output = akvfs().arg("unmount").arg(&directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&directory), None);
}

#[test]
fn only_the_owner_and_root_have_the_vault_asked_again() {
    if !can_play_a_user() {
        return;
    }
    let world = UsersWorld::new();
    let flags = ["--allow-other", "--world-readable", "--dir-mode", "0555", "--file-mode", "0444"];
    let mount = world.vault.mount_with(&flags);
    fs::set_permissions(mount.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refresh = || {
        let mut command = Command::new(&world.program);
        command.arg("refresh").arg(&mount.directory);
        command
    };
    let output = as_user(refresh());
    assert!(!output.status.success() && mount.path("values/db").exists(), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("only the owner"), "{}", shown(&output));
    assert!(refresh().status().unwrap().success());
}
