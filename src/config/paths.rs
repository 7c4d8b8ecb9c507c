//! Paths as they were typed, made to mean the same wherever the process is.

use std::path::{Path, PathBuf};

/// A path that is relative to nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is relative to the current directory, which has been removed: change to one that exists, \
     or give an absolute path"
)]
pub struct NoWorkingDirectory(PathBuf);

/// The process leaves its directory, so no path may depend on it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, NoWorkingDirectory> {
    // It fails for an empty path too, which is no path at all whatever the directory is.
    std::path::absolute(path).or_else(|_| match path {
        path if path.as_os_str().is_empty() => Ok(path.to_owned()),
        path => Err(NoWorkingDirectory(path.to_owned())),
    })
}

/// The same of a flag that may be missing.
pub(super) fn absolute_if_given(path: Option<&Path>) -> Result<Option<PathBuf>, NoWorkingDirectory> {
    path.map(absolute).transpose()
}
