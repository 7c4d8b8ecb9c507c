//! What the tests stand on: an embedded vault in this process, mounted by the real command.
#![allow(dead_code, unreachable_pub, reason = "shared by several test programs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use akvfs::emulator::{Emulator, NewSecret, Operation, RequestSeen, Serving};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// More than anything here should take, and less than a person would wait.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const HOUR: Duration = Duration::from_secs(3600);

/// The command under test; `AKVFS` names another one, for a user who cannot enter the build's folder.
pub fn akvfs() -> Command {
    Command::new(std::env::var_os("AKVFS").unwrap_or_else(|| env!("CARGO_BIN_EXE_akvfs").into()))
}

/// An embedded vault that listens on loopback https, and the files that a client needs.
pub struct TestVault {
    pub emulator: Emulator,
    pub folder: TempDir,
    serving: Serving,
    runtime: Runtime,
}

impl TestVault {
    pub fn empty() -> TestVault {
        TestVault::of(Emulator::in_memory("testing"))
    }

    pub fn of(emulator: Emulator) -> TestVault {
        let runtime = Runtime::new().unwrap();
        let serving = runtime.block_on(emulator.serve_tls(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), serving.ca_pem().unwrap()).unwrap();
        fs::write(folder.path().join("token"), emulator.issue_token(HOUR)).unwrap();
        TestVault { emulator, folder, serving, runtime }
    }

    pub fn demo() -> TestVault {
        let vault = TestVault::empty();
        vault.emulator.seed_demo().unwrap();
        vault
    }

    pub fn with(secrets: &[(&str, &str)]) -> TestVault {
        let vault = TestVault::empty();
        for (name, value) in secrets {
            vault.put(name, *value);
        }
        vault
    }

    pub fn url(&self) -> &str {
        self.serving.url()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn put(&self, name: &str, secret: impl Into<NewSecret>) -> String {
        self.emulator.put(name, secret.into()).unwrap()
    }

    /// Waits until so many requests hang in the vault.
    pub fn until_hanging(&self, requests: usize) {
        let waiting = self.emulator.faults().until_hanging(requests);
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, waiting).await.expect("no request hangs") });
    }

    /// The answered requests of one operation since the last clearing.
    pub fn requests(&self, operation: Operation) -> Vec<RequestSeen> {
        self.emulator.requests().into_iter().filter(|seen| seen.operation == operation).collect()
    }

    /// Names that have been got, sorted.
    pub fn got(&self) -> Vec<String> {
        let mut names: Vec<_> = self.requests(Operation::GetSecret).into_iter().filter_map(|seen| seen.name).collect();
        names.sort();
        names
    }

    /// `akvfs mount` of this vault, with the flags that it takes to reach it.
    pub fn mount_command(&self, directory: &Path) -> Command {
        let mut command = akvfs();
        command.arg("mount").arg(self.url()).arg(directory);
        command.arg("--ca-bundle").arg(self.path("ca.pem")).arg("--token-file").arg(self.path("token"));
        command.arg("--no-verify-challenge-resource");
        command
    }

    pub fn mount(&self) -> Mounted {
        self.mount_with(&[])
    }

    pub fn mount_with(&self, flags: &[&str]) -> Mounted {
        let mounted = Mounted::by(|directory| {
            let mut command = self.mount_command(directory);
            command.args(flags);
            command
        });
        self.emulator.clear_requests(); // what signing in took
        mounted
    }
}

/// A process that does not outlive its test, however that ends.
pub struct Helper(pub Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mount, gone when dropped.
pub struct Mounted {
    pub folder: TempDir,
    pub directory: PathBuf,
}

impl Mounted {
    pub fn by(command: impl FnOnce(&Path) -> Command) -> Mounted {
        needs_fuse();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("mount");
        fs::create_dir(&directory).unwrap();
        let output = command(&directory).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        Mounted { folder, directory }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.join(below)
    }

    /// Runs a shell line in the mount and gives what it printed; it must succeed.
    pub fn shell(&self, line: &str) -> String {
        let output = self.try_shell(line);
        assert!(output.status.success(), "{line}: {}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_shell(&self, line: &str) -> Output {
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", line]).current_dir(&self.directory);
        shell.env("SCRATCH", self.folder.path()).output().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if mount_type(&self.directory).is_some() {
            let _ = akvfs().arg("unmount").arg(&self.directory).arg("--lazy").output();
        }
    }
}

/// Type of what is mounted at a path, by the kernel's own table.
pub fn mount_type(path: &Path) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    table.lines().rev().map(fields).find(|line| Path::new(&line[4]) == path).map(|line| {
        let dash = line.iter().position(|field| field == "-").unwrap();
        line[dash + 1].clone()
    })
}

/// Waits until something is true.
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2)); // between two looks at the condition
    }
}

/// Mounting takes a usable `/dev/fuse`: without it nothing here can pass.
pub fn needs_fuse() {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    assert!(device.is_ok(), "this test mounts, and needs /dev/fuse: {}", device.unwrap_err());
}

/// Whether a program is there. Says so if it is not, and does not let CI go on without it.
pub fn has_program(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", name]).output().unwrap().status.success();
    if !found {
        missing(&format!("{name} is not installed"));
    }
    found
}

/// Says that a test, or a part of one, did not run; under CI that is a failure.
pub fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must have it: {what}");
    eprintln!("SKIPPED: {what}");
}

/// A finished command, for a failed assertion.
pub fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}
