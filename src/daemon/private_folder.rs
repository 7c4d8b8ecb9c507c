//! A folder that only its owner can enter, gone at the end; after a crash, at the next start.

use std::env;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{geteuid, mkdtemp};

const PREFIX: &str = "akvfs-";
/// A file in it that its process keeps locked. Only a folder with this file is one of ours.
const LOCK: &str = ".in-use";

/// A new folder with mode 0700. It is removed, with what is in it, when dropped.
pub(super) struct PrivateFolder {
    path: PathBuf,
    _in_use: Flock<File>,
}

impl PrivateFolder {
    /// Makes one where short-lived files of services or users belong, and removes there what a process
    /// of the same user left behind when it was killed.
    pub(super) fn new() -> io::Result<PrivateFolder> {
        let parent = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"]
            .into_iter()
            .filter_map(env::var_os)
            .map(PathBuf::from)
            .find(|folder| folder.is_dir())
            .unwrap_or_else(env::temp_dir);
        PrivateFolder::below(&parent)
    }

    fn below(parent: &Path) -> io::Result<PrivateFolder> {
        remove_left_behind(parent);
        loop {
            let path = mkdtemp(&parent.join(format!("{PREFIX}XXXXXX")))?;
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(LOCK))?;
            let in_use = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            // Until it was locked, another start could take it for one that was left behind.
            if in_use.metadata()?.nlink() > 0 {
                return Ok(PrivateFolder { path, _in_use: in_use });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // What cannot be removed is empty or stale: a socket nobody listens on, a token that expires.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_left_behind(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok).filter(is_like_ours) {
        if let Ok(_unused) = lock_if_unused(&entry.path().join(LOCK)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// By its name, its kind and its owner: a link in its place leads nowhere.
fn is_like_ours(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(PREFIX)
        && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw())
}

fn lock_if_unused(path: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, file: &str| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(file), "").unwrap();
            folder
        };
        let left = make("akvfs-dead01", LOCK);
        fs::write(left.join("vault.sock"), "").unwrap();
        let others = [make("akvfs-users1", "notes"), make("other-dead01", LOCK)];
        let living = PrivateFolder::below(parent.path()).unwrap();
        assert!(!left.exists());
        let second = PrivateFolder::below(parent.path()).unwrap();
        assert!(living.path().is_dir() && others.iter().all(|folder| folder.is_dir()));
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
