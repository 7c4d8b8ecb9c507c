//! One slow call holds up nobody else, and ends in time.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use akvfs::emulator::{Fault, Operation};

use crate::support::{Helper, TestVault, akvfs, until};

/// Far less than the vault hangs, far more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(2);

fn at_once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
    result
}

#[test]
fn a_hanging_get_holds_up_no_other_call() {
    let vault = TestVault::with(&[("slow", "s"), ("cached", "c"), ("cold", "k"), ("other", "o")]);
    let mount = vault.mount();
    fs::read(mount.path("values/cached")).unwrap();
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret).named("slow"));
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(mount.path("values/slow")));
        vault.until_hanging(1);
        at_once("a cached read", || assert_eq!(fs::read(mount.path("values/cached")).unwrap(), b"c"));
        at_once("an uncached read", || assert_eq!(fs::read(mount.path("values/cold")).unwrap(), b"k"));
        at_once("a lookup in the same directory", || fs::metadata(mount.path("values/other")).unwrap());
        at_once("a listing of it", || assert_eq!(fs::read_dir(mount.path("values")).unwrap().count(), 4));
        vault.emulator.faults().release();
        assert_eq!(reader.join().unwrap().unwrap(), b"s");
    });
}

#[test]
fn many_hanging_gets_starve_nobody() {
    let names: Vec<String> = (0..40).map(|number| format!("slow-{number}")).collect();
    let vault = TestVault::with(&[("cached", "c")]);
    for name in &names {
        vault.put(name, "s");
        vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret).named(name));
    }
    let mount = vault.mount();
    fs::read(mount.path("values/cached")).unwrap();
    thread::scope(|scope| {
        let paths = names.iter().map(|name| mount.path("values").join(name));
        let readers: Vec<_> = paths.map(|path| scope.spawn(move || fs::read(path))).collect();
        vault.until_hanging(names.len());
        at_once("a cached read", || assert_eq!(fs::read(mount.path("values/cached")).unwrap(), b"c"));
        vault.emulator.faults().release();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap().unwrap(), b"s"));
    });
}

#[test]
fn a_call_that_outlasts_the_deadline_is_etimedout() {
    let vault = TestVault::with(&[("slow", "s")]);
    let mount = vault.mount_with(&["--deadline", "500ms"]);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret).times(u32::MAX));
    let error = at_once("the deadline", || fs::read(mount.path("values/slow")).unwrap_err());
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    vault.emulator.faults().clear();
    until("the vault is in time", || fs::read(mount.path("values/slow")).is_ok_and(|value| value == b"s"));
}

#[test]
fn a_lookup_that_nobody_answers_lets_the_open_tell_the_truth() {
    let vault = TestVault::empty();
    let mount = vault.mount();
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
    // O_PATH looks the name up and does not open the file: it is let through while nobody knows better.
    let path_only = fs::File::options().read(true).custom_flags(libc::O_PATH).open(mount.path("values/absent"));
    assert_eq!(vault.emulator.faults().hanging(), 1);
    assert!(path_only.is_ok());
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(mount.path("values/absent")));
        vault.emulator.faults().release();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    });
    assert_eq!(vault.requests(Operation::GetSecret).len(), 1);
}

#[test]
fn a_signal_ends_a_waiting_call() {
    let signals = [("INT", libc::SIGINT), ("TERM", libc::SIGTERM), ("KILL", libc::SIGKILL)];
    let vault = TestVault::with(&signals.map(|(name, _)| (name, "s")));
    let mount = vault.mount();
    for (name, signal) in signals {
        vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
        let mut cat = Command::new("cat").arg(mount.path("values").join(name)).stdout(Stdio::null()).spawn().unwrap();
        vault.until_hanging(1);
        assert!(Command::new("kill").arg(format!("-{name}")).arg(cat.id().to_string()).status().unwrap().success());
        let status = at_once(&format!("SIG{name}"), || cat.wait().unwrap());
        assert_eq!(status.signal(), Some(signal));
        vault.emulator.faults().release();
        until("the request has ended", || vault.emulator.faults().hanging() == 0);
    }
}

#[test]
fn many_waiting_calls_delay_neither_a_signal_nor_a_read() {
    let vault = TestVault::with(&[("cached", "c"), ("slow", "s")]);
    let mount = vault.mount_with(&["--deadline", "1m"]);
    fs::read(mount.path("values/cached")).unwrap();
    // With a listing no lookup has to wait, in whose way the kernel would hold up the others.
    assert_eq!(fs::read_dir(mount.path("values")).unwrap().count(), 2);
    vault.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..200).map(|_| scope.spawn(|| fs::read(mount.path("values/slow")))).collect();
        vault.until_hanging(1);
        let mut cat = Command::new("cat").arg(mount.path("values/slow")).stdout(Stdio::null()).spawn().unwrap();
        let calls = || fs::read_to_string(format!("/proc/{}/syscall", cat.id())).unwrap_or_default();
        let opening = format!("{} ", libc::SYS_openat);
        until("cat waits for the file", || calls().starts_with(&opening) && calls().contains(" 0x"));
        at_once("a cached read", || assert_eq!(fs::read(mount.path("values/cached")).unwrap(), b"c"));
        cat.kill().unwrap();
        at_once("SIGKILL", || cat.wait().unwrap());
        vault.emulator.faults().release();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap().unwrap(), b"s"));
    });
}

/// The file is on a mount of ours whose vault hangs: no filesystem hangs more reliably.
#[test]
fn a_credential_file_on_a_filesystem_that_hangs_is_given_up_in_time() {
    let hanging = TestVault::with(&[("token", "t")]);
    let mount = hanging.mount_with(&["--deadline", "10min"]);
    hanging.emulator.faults().queue(Fault::Hang.on(Operation::GetSecret));
    let vault = TestVault::with(&[("db", "x")]);
    let mut command = akvfs();
    command.args(["request", vault.url(), "GET", "/secrets/db", "--deadline", "1s"]);
    command.arg("--token-file").arg(mount.path("values/token"));
    command.arg("--ca-bundle").arg(vault.path("ca.pem")).arg("--no-verify-challenge-resource");
    let mut asking = Helper(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    hanging.until_hanging(1);
    let mut ended = None;
    until("the command gives up", || {
        ended = asking.0.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(3));
    hanging.emulator.faults().release();
}
