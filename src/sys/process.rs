//! What the process forbids itself.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Forbids core dumps and, to the process's own user, ptrace and `/proc/PID/mem`
/// (`RLIMIT_CORE`, prctl(2) `PR_SET_DUMPABLE`).
///
/// # Errors
/// What the kernel says; there is no known case in which it refuses.
pub fn forbid_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}
