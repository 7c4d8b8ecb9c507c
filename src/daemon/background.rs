//! A mount in the background: a copy of this process that says when it is ready.
//!
//! The command is started again instead of forked, since a fork of a process with threads may do next
//! to nothing. The copy's standard output is a socket to its parent: one word, when the mount can be
//! used. Until then it shares the terminal's stderr, so that an error reaches the person; and when the
//! parent is gone before, nobody wants the mount any more.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::prctl;
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use super::Failure;
use crate::sys::close_inherited_descriptors;

/// Tells a copy that it is one. Not for users: `--foreground` is.
const MARK: &str = "AKVFS_IN_BACKGROUND";
const READY: &[u8] = b"ready\n";

/// Starts the copy with these arguments, and waits until its mount is ready.
///
/// # Errors
/// The copy's own failure, which it has told already: only its exit code is passed on.
pub(super) fn start(arguments: &[OsString]) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::system("cannot start the background process", &error);
    let (mut line, theirs) = UnixStream::pair().map_err(cannot)?;
    // Not by its path, where an upgrade may have put another version.
    let mut copy = Command::new("/proc/self/exe");
    copy.arg0("akvfs").args(arguments).env(MARK, "1").stdin(Stdio::null()).stdout(OwnedFd::from(theirs));
    let mut child = copy.spawn().map_err(cannot)?;
    drop(copy); // and with it our copy of the other end
    let mut word = Vec::new();
    line.read_to_end(&mut word).map_err(cannot)?;
    if word == READY {
        return Ok(());
    }
    let status = child.wait().map_err(cannot)?;
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Err(Failure::told(code)),
        Some(Err(_)) | None => Err(Failure::other(format!("the background process ended by {status}"))),
    }
}

/// The process that waits for us to be ready.
pub(super) struct Parent(UnixStream);

impl Parent {
    /// The waiting parent, if this process is a copy. The copy keeps nothing of what its parent was
    /// started with: no terminal, no directory, no open files.
    ///
    /// # Errors
    /// When there is no line to the parent: somebody else has set the mark.
    pub(super) fn of_this_process() -> Result<Option<Parent>, Failure> {
        if env::var_os(MARK).is_none() {
            return Ok(None);
        }
        // All of these are for good order, and fail for what is in order: the session is our own already,
        // or the kernel is too old to know the call.
        let _ = close_inherited_descriptors();
        let _ = setsid(); // so that neither Ctrl-C nor the terminal's end reaches it
        let _ = prctl::set_name(c"akvfs"); // /proc/self/exe would be "exe" in `ps`
        let _ = env::set_current_dir("/"); // a daemon must not keep a directory busy
        let line = io::stdout().as_fd().try_clone_to_owned();
        let line = line.map_err(|error| Failure::system("cannot reach the waiting command", &error))?;
        Ok(Some(Parent(UnixStream::from(line))))
    }

    /// Resolves when the parent is gone: it was interrupted or killed.
    pub(super) async fn gone(&self) {
        // Nothing is ever sent to us: what can be read is the end.
        if let Ok(line) = self.watched()
            && line.readable().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    fn watched(&self) -> io::Result<tokio::net::UnixStream> {
        let line = self.0.try_clone()?;
        line.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(line)
    }

    /// Says so, and lets go of the terminal. False if the parent is gone.
    pub(super) fn ready(mut self) -> bool {
        let told = self.0.write_all(READY);
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = dup2_stdout(&null); // closes the line: the parent reads to its end
            let _ = dup2_stderr(&null);
        }
        told.is_ok()
    }
}
