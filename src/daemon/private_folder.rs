//! A folder that only its owner can enter, gone at the end.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

/// A new folder with mode 0700. It is removed, with what is in it, when dropped.
pub(super) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one where short-lived files of services or users belong.
    pub(super) fn new() -> io::Result<PrivateFolder> {
        let parent = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"]
            .into_iter()
            .filter_map(env::var_os)
            .map(PathBuf::from)
            .find(|folder| folder.is_dir())
            .unwrap_or_else(env::temp_dir);
        Ok(PrivateFolder(mkdtemp(&parent.join("akvfs-XXXXXX"))?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // What cannot be removed is empty or stale: a socket nobody listens on, a token that expires.
        let _ = fs::remove_dir_all(&self.0);
    }
}
