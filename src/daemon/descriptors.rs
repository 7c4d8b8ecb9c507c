//! Enough open files for every program that reads at once.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Failure;

/// What a mount takes for itself, with a handful of calls under way. With less, connections fail in
/// ways that look like a slow vault.
const ENOUGH: u64 = 64;

/// Raises the soft limit to the hard one.
///
/// # Errors
/// When even that is too low.
pub(super) fn raise_limit() -> Result<(), Failure> {
    let cannot = |errno: nix::Error| Failure::system("cannot raise the limit of open files", &io::Error::from(errno));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(cannot)?;
    if hard < ENOUGH {
        return Err(Failure::other(format!(
            "only {hard} files may be open at once, and a mount needs {ENOUGH}: raise the limit \
             (`ulimit -Hn`, LimitNOFILE= in a unit)"
        )));
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(cannot)?;
    }
    Ok(())
}
