//! An embedded vault on a CPU of its own, and mounts of it.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use akvfs::emulator::{Emulator, Operation, Serving};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const LIFETIME: Duration = Duration::from_secs(86_400);

/// As in the command itself.
#[global_allocator]
static ALLOCATOR: akvfs::sys::WipingAllocator = akvfs::sys::WipingAllocator;

pub struct World {
    pub emulator: Emulator,
    pub folder: TempDir,
    pub token: String,
    pub ca: String,
    serving: Serving,
    _runtime: Runtime,
}

pub fn numbered(number: usize) -> String {
    format!("secret-{number:05}")
}

/// Keeps a process, or a thread, on one CPU.
pub fn pin(cpu: u32, id: u32) {
    let mut taskset = Command::new("taskset");
    taskset.args(["-pc", &cpu.to_string(), &id.to_string()]).stdout(Stdio::null());
    assert!(taskset.status().unwrap().success());
}

pub fn akvfs() -> Command {
    Command::new(std::env::var_os("AKVFS").unwrap_or_else(|| env!("CARGO_BIN_EXE_akvfs").into()))
}

impl World {
    pub fn with(secrets: impl Iterator<Item = (String, String)>) -> World {
        let on_first_cpu = || pin(0, nix::unistd::gettid().as_raw().unsigned_abs());
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).on_thread_start(on_first_cpu).enable_all().build().unwrap();
        let emulator = Emulator::in_memory("bench");
        secrets.for_each(|(name, value)| drop(emulator.put(&name, value.as_str().into()).unwrap()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = runtime.block_on(emulator.serve_tls(address)).unwrap();
        let (ca, token) = (serving.ca_pem().unwrap().to_owned(), emulator.issue_token(LIFETIME));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), &ca).unwrap();
        fs::write(folder.path().join("token"), &token).unwrap();
        World { emulator, folder, token, ca, serving, _runtime: runtime }
    }

    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// Answered requests of one operation since the last clearing.
    pub fn asked(&self, operation: Operation) -> f64 {
        self.emulator.requests().iter().filter(|seen| seen.operation == operation).count() as f64
    }

    /// A mount that has remembered nothing yet.
    pub fn mount(&self) -> Mount {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("mount");
        fs::create_dir(&directory).unwrap();
        let mut command = akvfs();
        command.arg("mount").arg(self.url()).arg(&directory);
        command.arg("--ca-bundle").arg(self.folder.path().join("ca.pem"));
        command.arg("--token-file").arg(self.folder.path().join("token"));
        command.args(["--foreground", "--no-verify-challenge-resource", "--log-level", "error"]);
        command.args(["--ttl", "1day", "--max-rps", "1000000"]);
        let process = command.spawn().unwrap();
        let start = Instant::now();
        while !directory.join("values").exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "no mount");
            std::thread::sleep(Duration::from_millis(2)); // between two looks
        }
        self.emulator.clear_requests();
        Mount { process, directory, _folder: folder }
    }
}

pub struct Mount {
    process: Child,
    pub directory: PathBuf,
    _folder: TempDir,
}

impl Mount {
    pub fn value(&self, number: usize) -> PathBuf {
        self.directory.join("values").join(numbered(number))
    }

    /// Entries of a directory.
    pub fn list(&self, directory: &str) -> usize {
        fs::read_dir(self.directory.join(directory)).unwrap().count()
    }

    /// Resident memory in megabytes (`VmRSS`, proc(5)).
    pub fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// CPU time so far in milliseconds: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
        ticks.sum::<f64>() * 10.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = akvfs().arg("unmount").arg("--lazy").arg(&self.directory).output();
        let _ = self.process.wait();
    }
}

/// Opens, reads and closes a file; how long that took, in microseconds.
pub fn read(path: &Path) -> f64 {
    let mut buffer = [0; 64 * 1024];
    let start = Instant::now();
    let length = File::open(path).unwrap().read(&mut buffer).unwrap();
    let took = micros(start);
    assert!(length > 0);
    took
}

pub fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}
