//! Detaching a mount: our own, never a stranger's.

use std::io;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use nix::unistd::geteuid;

use super::fusermount;
use super::mountinfo;
use super::place::Place;

/// How a mount ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// It is gone.
    Clean,
    /// It was busy: nobody sees it any more, but files that are open in it stay open until they are
    /// closed or its daemon ends.
    Detached,
    /// It had been unmounted before.
    Already,
}

/// Why something could not be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// Nothing of ours is there.
    #[error("{0} is not mounted by akvfs: `findmnt -t {kind}` lists what is", kind = mountinfo::OUR_TYPE)]
    NotMounted(String),
    /// Something lies over it, and the kernel unmounts only what is seen.
    #[error(
        "the mount at {0} cannot be reached, since something else is mounted over it: \
         unmount that first, then `akvfs unmount {0}`"
    )]
    Covered(String),
    /// The system refused.
    #[error("cannot unmount {path}: {why}")]
    Refused {
        /// The mount point.
        path: String,
        /// What the system or fusermount3 said.
        why: String,
    },
}

/// Unmounts what akvfs has mounted at the directory, live or dead; a busy mount is detached, as it is
/// at once with `lazy`.
///
/// # Errors
/// Where nothing of ours is, and what the system said.
pub fn unmount(directory: &Path, lazy: bool) -> Result<Unmounted, UnmountError> {
    match Place::at(directory) {
        Ok(place) if place.is_our_mount() => take_down(&place.path, lazy),
        Ok(_) => Err(UnmountError::NotMounted(directory.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(UnmountError::NotMounted(directory.display().to_string()))
        }
        Err(error) => Err(refused(directory, &error)),
    }
}

/// Unmounts what is seen at the path.
pub(super) fn take_down(path: &Path, lazy: bool) -> Result<Unmounted, UnmountError> {
    if !lazy {
        match unmount_call(path, false) {
            Ok(()) => return Ok(Unmounted::Clean),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(refused(path, &error)),
        }
    }
    unmount_call(path, true).map(|()| Unmounted::Detached).map_err(|error| refused(path, &error))
}

pub(super) fn refused(path: &Path, error: &io::Error) -> UnmountError {
    UnmountError::Refused { path: path.display().to_string(), why: error.to_string() }
}

/// umount2(2) for root; for others fusermount3, which may.
fn unmount_call(path: &Path, lazy: bool) -> io::Result<()> {
    if !geteuid().is_root() {
        return fusermount::unmount(path, lazy);
    }
    let flags = if lazy { MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH } else { MntFlags::UMOUNT_NOFOLLOW };
    Ok(umount2(path, flags)?)
}
