//! A mount in the background: a copy of this process that says when it is ready.
//!
//! The command is started again instead of forked, since a fork of a process with threads may do next
//! to nothing. The copy's standard output is the line to its parent: one word, when the mount can be
//! used. Until then it shares the terminal's stderr, so that an error reaches the person.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use super::Failure;

/// Tells a copy that it is one. Not for users: `--foreground` is.
const MARK: &str = "AKVFS_IN_BACKGROUND";
const READY: &[u8] = b"ready\n";

/// Starts the copy, and waits until its mount is ready.
///
/// # Errors
/// The copy's own failure, which it has told already: only its exit code is passed on.
pub(super) fn start() -> Result<(), Failure> {
    let mut copy = Command::new("/proc/self/exe");
    copy.args(env::args_os().skip(1)).env(MARK, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let cannot = |error: io::Error| Failure::system("cannot start the background process", &error);
    let mut child = copy.spawn().map_err(cannot)?;
    let mut word = Vec::new();
    if let Some(mut line) = child.stdout.take() {
        line.read_to_end(&mut word).map_err(cannot)?;
    }
    if word == READY {
        return Ok(());
    }
    let status = child.wait().map_err(cannot)?;
    match status.code() {
        Some(code) => std::process::exit(code),
        None => Err(Failure::other(format!("the background process ended by {status}"))),
    }
}

/// The process that waits for us to be ready.
pub(super) struct Parent(());

impl Parent {
    /// The waiting parent, if this process is a copy.
    pub(super) fn of_this_process() -> Option<Parent> {
        env::var_os(MARK)?;
        // A session of its own, so that neither Ctrl-C nor the terminal's end reaches it. The error is
        // that it has one already.
        let _ = setsid();
        let _ = env::set_current_dir("/"); // a daemon must not keep a directory busy
        Some(Parent(()))
    }

    /// Says so, and lets go of the terminal. False if the parent is gone: it was interrupted.
    pub(super) fn ready(self) -> bool {
        let told = io::stdout().write_all(READY).and_then(|()| io::stdout().flush());
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = dup2_stdout(&null); // closes the line: the parent reads to its end
            let _ = dup2_stderr(&null);
        }
        told.is_ok()
    }
}
