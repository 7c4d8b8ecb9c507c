//! A mount in the foreground, whose process the test holds.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Helper, Mounted, TestVault, mount_type, needs_fuse, until};

pub(crate) struct Foreground {
    pub(crate) process: Helper,
    pub(crate) mount: Mounted,
}

impl Foreground {
    pub(crate) fn of(vault: &TestVault) -> Foreground {
        Foreground::with(vault, Stdio::null(), &[])
    }

    /// With its log, and more flags.
    pub(crate) fn with(vault: &TestVault, stderr: impl Into<Stdio>, flags: &[&str]) -> Foreground {
        needs_fuse();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("mount");
        let mut command = vault.mount_command(&directory);
        let process = command.arg("--foreground").args(flags).stderr(stderr).spawn();
        let process = Helper(process.unwrap());
        until("the mount is there", || mount_type(&directory).is_some());
        until("it answers", || fs::read_dir(directory.join("values")).is_ok());
        Foreground { process, mount: Mounted { folder, directory } }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.0.id(), name);
    }

    /// Waits until the process has ended, and gives its exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let mut status = None;
        until("the process has ended", || {
            status = self.process.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let kill = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(kill.unwrap().success());
}
