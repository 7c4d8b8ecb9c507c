//! Events for those who watch files (inotify(7)), which the kernel makes out of local writes alone: we
//! open a rotated file for writing, as a writer would, and set its modification time, which watchers see
//! as a modification.
//!
//! The mount that users see is read-only. Root can make a writable clone of it, for the moment that it
//! takes; a user cannot, and gets no events.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{geteuid, gettid};

use super::kernel::Kernel;
use crate::sys::writable_clone;
use crate::vault::SecretName;

/// Touches files of one mount, as if they had been written.
pub(super) struct Toucher {
    mount_point: PathBuf,
    /// The filesystem's number: at the mount point there may be a stranger by now.
    device: u64,
    kernel: Kernel,
}

impl Toucher {
    /// For the filesystem that is mounted and served there now; `None` where events cannot be made.
    pub(super) fn new(mount_point: &Path, kernel: Kernel) -> Option<Toucher> {
        if !geteuid().is_root() {
            return None;
        }
        let device = fs::metadata(mount_point).ok()?.dev();
        Some(Toucher { mount_point: mount_point.to_owned(), device, kernel })
    }

    /// Touches the files that show a secret's newest value. Blocks.
    pub(super) fn touch(&self, name: &SecretName) -> io::Result<()> {
        let clone = writable_clone(&self.mount_point)?;
        if fstat(&clone)?.st_dev != self.device {
            return Err(io::Error::other("something else is mounted there"));
        }
        let _touching = self.kernel.touching(gettid().as_raw().unsigned_abs());
        for path in [format!("values/{name}"), format!("secrets/{name}/current")] {
            touch(&clone, &path)?;
        }
        Ok(())
    }
}

fn touch(mount: &impl AsFd, path: &str) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(mount, path, flags, Mode::empty())?;
    // The modification time alone is a modification; with the access time it would be a change of
    // attributes.
    futimens(&file, &TimeSpec::UTIME_OMIT, &TimeSpec::UTIME_NOW)?;
    Ok(())
}
