//! What the vault takes its time for: deletions and recoveries, with the service's delays, on a clock that
//! stands until it is moved.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use akvfs::emulator::{Emulator, Operation, Options};

use crate::foreground::Foreground;
use crate::managing::{slow, state, why};
use crate::support::{Helper, TestVault, akvfs, shown, until};
use crate::writing::{errno, rw};

/// Less than any delay of the service's, and more than a busy machine takes for two requests.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A vault with the service's delays, whose clock stands still.
fn realistic() -> TestVault {
    let vault = TestVault::of(Emulator::with_options("testing", Options::realistic()));
    vault.put("db", "x");
    let clock = vault.emulator.clock();
    clock.stop_at(clock.now());
    vault
}

fn pass(vault: &TestVault, seconds: u64) {
    vault.emulator.clock().advance(Duration::from_secs(seconds));
}

/// Waits until the mount has looked once more whether the vault is done.
fn until_polled(vault: &TestVault, operation: Operation) {
    let before = vault.requests(operation).len();
    until("the vault is polled", || vault.requests(operation).len() > before);
}

fn at_once(what: &str, act: impl FnOnce()) {
    let start = Instant::now();
    act();
    assert!(start.elapsed() < AT_ONCE, "{what}: {:?}", start.elapsed());
}

fn started(program: &Path, arguments: &[&str], directory: &Path) -> Helper {
    Helper(Command::new(program).args(arguments).current_dir(directory).spawn().unwrap())
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

#[test]
fn rm_and_mv_return_at_once_and_the_state_walks_through_its_values() {
    let vault = realistic();
    let mount = rw(&vault);
    assert_eq!(state(&mount, "secrets/db"), "live");
    at_once("rm -r", || drop(mount.shell("rm -r secrets/db && ! test -e secrets/db && test -d deleted/db")));
    assert_eq!(state(&mount, "deleted/db"), "deleting");
    assert_eq!(errno(fs::rename(mount.path("deleted/db"), mount.path("secrets/db"))), libc::EBUSY);
    assert!(why(&mount, "deleted/db").contains("usually takes 17"), "{}", why(&mount, "deleted/db"));
    assert_eq!(errno(fs::create_dir(mount.path("secrets/db"))), libc::EEXIST);
    let directory = fs::File::open(mount.path("deleted/db")).unwrap();
    let waiting = thread::spawn(move || directory.sync_all());
    pass(&vault, 16);
    until_polled(&vault, Operation::GetDeletedSecret);
    assert_eq!((state(&mount, "deleted/db").as_str(), waiting.is_finished()), ("deleting", false));
    pass(&vault, 1);
    waiting.join().unwrap().unwrap();
    assert_eq!(state(&mount, "deleted/db"), "deleted");

    at_once("mv back", || drop(mount.shell("mv deleted/db secrets/ && ! test -e deleted/db && test -d secrets/db")));
    assert_eq!(state(&mount, "secrets/db"), "recovering");
    for path in ["secrets/db/current", "values/db"] {
        assert_eq!(errno(fs::read(mount.path(path))), libc::EBUSY, "{path}");
        assert!(why(&mount, path).contains("recovering db for"), "{path}: {}", why(&mount, path));
        assert!(why(&mount, path).contains("usually takes 19"), "{path}");
    }
    assert_eq!(errno(fs::write(mount.path("secrets/db/current"), "y")), libc::EBUSY);
    let directory = fs::File::open(mount.path("secrets/db")).unwrap();
    let waiting = thread::spawn(move || directory.sync_all());
    pass(&vault, 18);
    until_polled(&vault, Operation::GetSecret);
    assert_eq!((state(&mount, "secrets/db").as_str(), waiting.is_finished()), ("recovering", false));
    pass(&vault, 1);
    waiting.join().unwrap().unwrap();
    assert_eq!(state(&mount, "secrets/db"), "live");
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"x");

    at_once("mv away", || drop(mount.shell("mv secrets/db deleted/ && ! test -e secrets/db && test -d deleted/db")));
    assert_eq!(state(&mount, "deleted/db"), "deleting");
}

#[test]
fn the_wait_command_waits_until_it_is_true() {
    let vault = realistic();
    let mount = rw(&vault);
    let akvfs = akvfs();
    let wait = |path: &str| started(Path::new(akvfs.get_program()), &["wait", path], &mount.directory);
    mount.shell("rm -r secrets/db");
    // By the place that it is going to, by the one that it has left, and by the directory.
    let mut waiting = ["deleted/db", "secrets/db", "deleted"].map(wait);
    pass(&vault, 16);
    until_polled(&vault, Operation::GetDeletedSecret);
    assert!(waiting.iter_mut().all(|child| is_running(&mut child.0)));
    assert_eq!(mount.shell("ls secrets deleted"), "deleted:\ndb\n\nsecrets:\n", "nobody else is held up");
    pass(&vault, 1);
    for mut child in waiting {
        assert!(child.0.wait().unwrap().success());
    }
    assert_eq!(state(&mount, "deleted/db"), "deleted");
    mount.shell("mv deleted/db secrets/");
    let mut waiting = wait("secrets/db");
    pass(&vault, 18);
    until_polled(&vault, Operation::GetSecret);
    assert!(is_running(&mut waiting.0));
    pass(&vault, 1);
    assert!(waiting.0.wait().unwrap().success());
    assert_eq!(state(&mount, "secrets/db"), "live");
    at_once("nothing to wait for", || assert!(wait("secrets/db").0.wait().unwrap().success()));
}

#[test]
fn settle_wait_has_rm_and_mv_wait() {
    let vault = realistic();
    let mount = vault.mount_with(&["--rw", "--settle", "wait"]);
    let deletion = (Operation::DeleteSecret, Operation::GetDeletedSecret, 17);
    let recovery = (Operation::RecoverDeletedSecret, Operation::GetSecret, 19);
    for (program, arguments, (change, poll, seconds), path, end) in [
        ("rm", ["-r", "secrets/db"], deletion, "deleted/db", "deleted"),
        ("mv", ["deleted/db", "secrets/"], recovery, "secrets/db", "live"),
        ("mv", ["secrets/db", "deleted/"], deletion, "deleted/db", "deleted"),
    ] {
        vault.emulator.clear_requests();
        let mut child = started(Path::new(program), &arguments, &mount.directory);
        until("the vault has agreed", || !vault.requests(change).is_empty());
        pass(&vault, seconds - 1);
        until_polled(&vault, poll);
        assert!(is_running(&mut child.0), "{program} {path}");
        pass(&vault, 1);
        assert!(child.0.wait().unwrap().success(), "{program} {path}");
        assert_eq!(state(&mount, path), end);
    }
}

#[test]
fn the_settle_timeout_ends_a_wait_and_not_what_is_waited_for() {
    let vault = slow(60, 0);
    vault.put("db", "x");
    let mount = vault.mount_with(&["--rw", "--settle-timeout", "1s"]);
    mount.shell("rm -r secrets/db");
    assert_eq!(errno(fs::File::open(mount.path("deleted/db")).unwrap().sync_all()), libc::ETIMEDOUT);
    assert_eq!(state(&mount, "deleted/db"), "deleting");
    let waited = akvfs().arg("wait").arg(mount.path("deleted/db")).output().unwrap();
    assert_eq!(waited.status.code(), Some(1), "{}", shown(&waited));
    assert!(String::from_utf8_lossy(&waited.stderr).contains("is not settled yet"), "{}", shown(&waited));
}

/// Kills the mount's process, and mounts again in the same place.
fn kill_and_mount_again(vault: &TestVault, foreground: &mut Foreground) {
    foreground.signal("KILL");
    foreground.process.0.wait().unwrap();
    let directory = &foreground.mount.directory;
    let process = vault.mount_command(directory).args(["--foreground", "--rw"]).stderr(Stdio::null()).spawn();
    foreground.process = Helper(process.unwrap());
    until("it is mounted again", || fs::read_dir(directory.join("values")).is_ok());
}

#[test]
fn a_daemon_killed_meanwhile_shows_what_is_true_after_its_restart() {
    let vault = realistic();
    let mut foreground = Foreground::with(&vault, Stdio::null(), &["--rw"]);
    foreground.mount.shell("rm -r secrets/db");
    kill_and_mount_again(&vault, &mut foreground);
    // The vault itself shows it nowhere as long as the deletion goes on.
    foreground
        .mount
        .shell("! test -e secrets/db && ! test -e deleted/db && test -z \"$(ls secrets deleted | grep db)\"");
    foreground.mount.shell("mkdir secrets/db");
    let mut file = fs::File::create(foreground.mount.path("secrets/db/current")).unwrap();
    file.write_all(b"y").unwrap();
    assert_eq!(errno(file.sync_all()), libc::EBUSY);
    drop(file);
    foreground.mount.shell("rmdir secrets/db");
    pass(&vault, 17);
    until("it is deleted", || foreground.mount.path("deleted/db").exists());
    assert_eq!(state(&foreground.mount, "deleted/db"), "deleted");

    foreground.mount.shell("mv deleted/db secrets/");
    kill_and_mount_again(&vault, &mut foreground);
    foreground.mount.shell("! test -e secrets/db && ! test -e deleted/db");
    pass(&vault, 19);
    until("it is back", || foreground.mount.path("secrets/db/current").exists());
    assert_eq!(state(&foreground.mount, "secrets/db"), "live");
    assert_eq!(fs::read(foreground.mount.path("secrets/db/current")).unwrap(), b"x");
}
