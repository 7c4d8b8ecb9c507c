//! How mounts begin and end.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use akvfs::emulator::{Fault, Operation};

use crate::foreground::Foreground;
use crate::support::{Helper, Mounted, PATIENCE, TestVault, akvfs, has_program, mount_type, needs_fuse, shown, until};

#[test]
fn a_signal_unmounts_and_ends_with_0() {
    let vault = TestVault::with(&[("db", "x")]);
    for signal in ["TERM", "INT", "QUIT"] {
        let mut foreground = Foreground::of(&vault);
        foreground.signal(signal);
        assert_eq!(foreground.ends(), Some(0), "{signal}");
        assert_eq!(mount_type(&foreground.mount.directory), None);
    }
}

#[test]
fn a_term_during_a_busy_read_leaves_no_mount_and_no_waiting_reader() {
    let vault = TestVault::with(&[("slow", "s")]);
    let mut foreground = Foreground::of(&vault);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
    let path = foreground.mount.path("values/slow");
    let reader = thread::spawn(move || fs::read(path));
    vault.until_hanging(1);
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert_eq!(mount_type(&foreground.mount.directory), None);
    assert!(reader.join().unwrap().is_err());
}

#[test]
fn unmount_with_a_shell_inside_detaches() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let shell = Helper(Command::new("sleep").arg("600").current_dir(&foreground.mount.directory).spawn().unwrap());
    let open = fs::File::open(foreground.mount.path("values/db")).unwrap();
    let output = akvfs().arg("unmount").arg(&foreground.mount.directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("was in use"), "{}", shown(&output));
    assert_eq!(mount_type(&foreground.mount.directory), None);
    assert_eq!(io::read_to_string(&open).unwrap(), "x", "an open file stays readable");
    drop(open);
    drop(shell);
    assert_eq!(foreground.ends(), Some(0), "the last user has left");
}

#[test]
fn a_signal_with_a_shell_inside_detaches_and_ends() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let shell = Helper(Command::new("sleep").arg("600").current_dir(&foreground.mount.directory).spawn().unwrap());
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert_eq!(mount_type(&foreground.mount.directory), None);
    drop(shell);
}

#[test]
fn an_unmount_by_others_ends_the_process() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let (program, flags): (_, &[&str]) =
        if nix::unistd::geteuid().is_root() { ("umount", &[]) } else { ("fusermount3", &["-u"]) };
    assert!(Command::new(program).args(flags).arg(&foreground.mount.directory).status().unwrap().success());
    assert_eq!(foreground.ends(), Some(0));
}

#[test]
fn a_second_mount_at_the_same_place_is_refused_with_5() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount();
    let output = vault.mount_command(&mount.directory).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("already mounted"));
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");
}

#[test]
fn of_two_mounts_at_once_one_is_refused() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mount");
    let mut both = [0, 1].map(|_| vault.mount_command(&directory).stderr(Stdio::null()).spawn().unwrap());
    let mut codes = both.each_mut().map(|command| command.wait().unwrap().code().unwrap());
    codes.sort_unstable();
    assert_eq!(codes, [0, 5]);
    assert!(akvfs().arg("unmount").arg(&directory).output().unwrap().status.success());
    assert_eq!(mount_type(&directory), None, "one mount lay over the other");
}

#[test]
fn an_embedded_vault_leaves_nothing_behind_even_when_detached() {
    let runtime_folder = tempfile::tempdir().unwrap();
    let is_empty = || fs::read_dir(runtime_folder.path()).unwrap().next().is_none();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mount");
    let mut command = akvfs();
    command.env_remove("RUNTIME_DIRECTORY").env("XDG_RUNTIME_DIR", runtime_folder.path());
    let process = command.args(["mount", "-f", "demo:"]).arg(&directory).stderr(Stdio::null()).spawn();
    let mut foreground = Foreground { process: Helper(process.unwrap()), mount: Mounted { folder, directory } };
    until("it answers", || fs::read(foreground.mount.path("values/empty")).is_ok());
    assert!(!is_empty());
    let open = fs::File::open(foreground.mount.path("values/tagged")).unwrap();
    foreground.signal("TERM");
    assert_eq!(foreground.ends(), Some(0));
    assert!(is_empty());
    drop(open);
}

#[test]
fn a_dead_mount_is_cleared_and_mounted_afresh() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    foreground.signal("KILL");
    foreground.process.0.wait().unwrap();
    let error = fs::read_dir(&foreground.mount.directory).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
    let output = vault.mount_command(&foreground.mount.directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(fs::read(foreground.mount.path("values/db")).unwrap(), b"x");
    let output = akvfs().arg("unmount").arg(&foreground.mount.directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&foreground.mount.directory), None, "the dead mount was under it");
}

#[test]
fn a_dead_mount_can_be_unmounted() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    foreground.signal("KILL");
    foreground.process.0.wait().unwrap();
    let output = akvfs().arg("unmount").arg(&foreground.mount.directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(mount_type(&foreground.mount.directory), None);
}

#[test]
fn a_missing_mount_point_is_made_and_said() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("a/b");
    let output = vault.mount_command(&directory).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("akvfs: made the mount point {}\n", directory.display())
    );
    let _mounted = Mounted { folder, directory };
}

#[test]
fn a_relative_mount_point_is_where_it_was_typed() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let output = vault.mount_command(Path::new("here")).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let directory = folder.path().join("here");
    let mounted = Mounted { folder, directory };
    assert_eq!(fs::read(mounted.path("values/db")).unwrap(), b"x");
}

#[test]
fn a_hangup_forgets_what_is_cached() {
    let vault = TestVault::with(&[("db", "x")]);
    let foreground = Foreground::of(&vault);
    let file = foreground.mount.path("values/db");
    assert_eq!(fs::read(&file).unwrap(), b"x");
    vault.put("db", "longer");
    assert_eq!(fs::read(&file).unwrap(), b"x");
    foreground.signal("HUP");
    until("the new value's size is seen", || fs::metadata(&file).unwrap().len() == 6);
    assert_eq!(fs::read(&file).unwrap(), b"longer");
}

#[test]
fn systemd_is_told_when_the_mount_answers() {
    needs_fuse();
    let vault = TestVault::with(&[("db", "x")]);
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let directory = folder.path().join("mount");
    let mut command = vault.mount_command(&directory);
    command.arg("--foreground").env("NOTIFY_SOCKET", folder.path().join("notify")).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut message = [0; 256];
    let length = socket.recv(&mut message).unwrap();
    assert_eq!(std::str::from_utf8(&message[..length]).unwrap().trim(), "READY=1");
    assert_eq!(fs::read(directory.join("values/db")).unwrap(), b"x");
    let _mounted = Mounted { folder, directory };
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    assert!(process.wait().unwrap().success());
    let length = socket.recv(&mut message).unwrap();
    assert_eq!(std::str::from_utf8(&message[..length]).unwrap().trim(), "STOPPING=1");
}

#[test]
fn the_demo_vault_is_mounted_by_one_command() {
    let mount = Mounted::by(|directory| {
        let mut command = akvfs();
        command.args(["mount", "demo:"]).arg(directory);
        command
    });
    assert_eq!(mount.shell("cat values/database-password"), "third-password");
    assert_eq!(mount.shell("findmnt -no SOURCE,FSTYPE ."), "demo:  fuse.akvfs\n");
    let options = mount.shell("findmnt -no OPTIONS .");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.trim().split(',').any(|given| given == option), "{options}");
    }
}

#[test]
fn the_unit_is_one_that_systemd_accepts() {
    if !has_program("systemd-analyze") {
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/akvfs@.service");
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("akvfs@some-vault.service");
    // It wants the command where it is installed, and looks whether it is there.
    let text = fs::read_to_string(unit).unwrap().replace("/usr/bin/akvfs", akvfs().get_program().to_str().unwrap());
    fs::write(&installed, text).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&installed).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", shown(&output));
}

/// `mount -t akvfs` runs the command under the name that mount(8) looks for.
fn as_helper(folder: &Path) -> Command {
    let helper = folder.join("mount.akvfs");
    std::os::unix::fs::symlink(fs::canonicalize(akvfs().get_program()).unwrap(), &helper).unwrap();
    Command::new(helper)
}

#[test]
fn mount_akvfs_mounts_as_a_line_of_fstab_says() {
    let mount = Mounted::by(|directory| {
        let mut helper = as_helper(directory.parent().unwrap());
        helper.args(["demo:".as_ref(), directory.as_os_str()]);
        helper.args(["-o", "rw,nosuid,_netdev,x-systemd.automount,file_mode=0640,writable", "-t", "akvfs"]);
        helper
    });
    assert_eq!(mount.shell("stat -c %a values/empty"), "640\n");
    mount.shell("printf new > secrets/empty/current");
}

#[test]
fn a_failure_of_mount_akvfs_is_32() {
    let folder = tempfile::tempdir().unwrap();
    let mut helper = as_helper(folder.path());
    for (arguments, words) in [
        (&["demo:", "/nonexistent/d", "-o", "no_such_option"][..], "--no-such-option"),
        (&["my-vault", "/nonexistent/d"], "--token-file"),
        (&["demo:", "/", "-o", "rw,remount"], "mount it anew"),
        (&["demo:", "/proc/version"], "not a directory"),
    ] {
        let output = Command::new(helper.get_program()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(32), "{}", shown(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{}", shown(&output));
    }
    let output = helper.args(["demo:", "/proc/version", "-f"]).output().unwrap();
    assert!(output.status.success(), "only a trial: {}", shown(&output));
}

#[test]
fn unmounting_the_dead_leaves_the_living_alone() {
    let vault = TestVault::with(&[("db", "x")]);
    let mut foreground = Foreground::of(&vault);
    let directory = foreground.mount.directory.clone();
    let unmount_dead = || {
        let output = akvfs().args(["unmount", "--dead"]).arg(&directory).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", shown(&output));
    };
    unmount_dead();
    assert_eq!(fs::read(foreground.mount.path("values/db")).unwrap(), b"x");
    foreground.signal("KILL");
    foreground.process.0.wait().unwrap();
    unmount_dead();
    assert_eq!(mount_type(&directory), None);
    unmount_dead();
}

#[test]
fn a_local_vault_can_be_mounted_again_as_soon_as_it_is_unmounted() {
    needs_fuse();
    let state = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("mount");
    for _ in 0..3 {
        let mut mount = akvfs();
        mount.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", state.path()).args(["mount", "local:"]);
        let output = mount.arg(&directory).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        let output = akvfs().arg("unmount").arg(&directory).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
    }
}
