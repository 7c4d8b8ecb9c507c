//! Paths as they were typed, made to mean the same wherever the process is.

use std::path::{Path, PathBuf};

use super::UsageError;

/// The process leaves its directory, so no path may depend on it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, UsageError> {
    // It fails for an empty path too, which is no path at all whatever the directory is.
    std::path::absolute(path).or_else(|_| match path {
        path if path.as_os_str().is_empty() => Ok(path.to_owned()),
        path => Err(UsageError::NoWorkingDirectory(path.to_owned())),
    })
}
