//! Attaching a FUSE connection to a directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{getegid, geteuid};

use super::fusermount::{self, HELPER};
use super::mountinfo;
use super::place::Place;
use super::unmount::{UnmountError, Unmounted, refused, take_down};
use crate::sys::{MountAttributes, mount_fuse};

pub(super) const DEVICE: &str = "/dev/fuse";
/// Another `akvfs mount` keeps its lock for a moment only.
const LOCK_LIMIT: Duration = Duration::from_secs(2);

/// What a mount is to be like.
#[derive(Clone, Debug)]
pub struct MountSettings {
    /// What `findmnt` shows as SOURCE: the vault.
    pub source: String,
    /// Whether users other than the one who mounts may enter.
    pub allow_other: bool,
    /// Whether the kernel refuses every change.
    pub read_only: bool,
}

/// Why nothing could be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// One of our mounts is there and alive.
    #[error("{0} is already mounted by akvfs: unmount it first with `akvfs unmount {0}`")]
    AlreadyMounted(String),
    /// One of our mounts is there, and the kernel does not let us see whether it is alive.
    #[error(
        "{path} is a mount of akvfs, live or dead, that only user {owner} may look into: choose another directory, \
         or ask that user or root for `akvfs unmount {path}`"
    )]
    AnotherUsers {
        /// The mount point.
        path: String,
        /// Who has mounted it.
        owner: u32,
    },
    /// Something is mounted there that does not answer.
    #[error(
        "{0} does not answer: the process behind a mount there, or above it, is stopped or hangs; end it, \
         or take the mount away with `akvfs unmount --lazy {0}`"
    )]
    Silent(String),
    /// A dead mount is there that is not ours to clear.
    #[error("a dead mount of {whose} is at {path}: whoever mounted it, or root, has to unmount it first")]
    DeadStranger {
        /// The mount point.
        path: String,
        /// The type of what is mounted there, or whose it is.
        whose: String,
    },
    /// A dead mount of ours could not be cleared.
    #[error("a dead mount of akvfs is in the way: {0}")]
    NotCleared(String),
    /// Another process has locked the directory.
    #[error("{0} is locked by another process (flock), and mounting needs the lock: `lslocks` shows who holds it")]
    Locked(String),
    /// The directory holds something.
    #[error("{0} is not empty: a mount would hide what is in it; choose an empty or a new directory")]
    NotEmpty(String),
    /// It is a symbolic link to nowhere.
    #[error("{0} is a symbolic link that leads nowhere: make what it points to, or choose another directory")]
    DanglingLink(String),
    /// It is a file.
    #[error("{0} is not a directory: choose an empty or a new one")]
    NotADirectory(String),
    /// It cannot be used or made.
    #[error("cannot use {path} as a mount point: {error}")]
    Unusable {
        /// The mount point.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// There is no FUSE here.
    #[error(
        "{DEVICE} is missing: load the kernel's fuse module (`modprobe fuse`), or, in a container, pass the device in (`--device /dev/fuse`)"
    )]
    NoDevice,
    /// FUSE is closed to this user.
    #[error("{DEVICE} may not be opened: ask root for `chmod 666 {DEVICE}`, which is what distributions ship")]
    DeviceForbidden,
    /// fusermount3 is missing.
    #[error("{HELPER} is not installed, and only root can mount and unmount without it: install the package fuse3")]
    NoHelper,
    /// fusermount3 does not allow `allow_other`.
    #[error("--allow-other needs the line `user_allow_other` in /etc/fuse.conf: ask root to add it")]
    OtherNotAllowed,
    /// fusermount3 refused, for the reason that it gave.
    #[error("{HELPER} refused: {0}")]
    Helper(String),
    /// The kernel refused.
    #[error("the kernel refused the mount: {0}")]
    Kernel(io::Error),
}

/// A mount of ours.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    id: u64,
    device: String,
    made: MadeDirectories,
}

/// Attaches a new FUSE connection to the directory, which is made if it is missing. The mount is there
/// when this returns; it answers once the connection is served.
///
/// # Errors
/// What is missing, with the remedy. Directories that were made for it are gone again.
pub fn mount(directory: &Path, settings: &MountSettings) -> Result<(Mounted, OwnedFd), MountError> {
    let made = MadeDirectories::up_to(directory).map_err(|error| unusable(directory, error))?;
    match attach(directory, settings) {
        Ok((mount, connection)) => {
            Ok((Mounted { path: mount.path, id: mount.id, device: mount.device, made }, connection))
        }
        Err(error) => {
            made.remove();
            Err(error)
        }
    }
}

fn attach(directory: &Path, settings: &MountSettings) -> Result<(mountinfo::Mount, OwnedFd), MountError> {
    let place = || Place::at(directory).map_err(|error| unusable(directory, error));
    let already = || MountError::AlreadyMounted(directory.display().to_string());
    let beneath = place()?;
    if beneath.is_our_mount() {
        return Err(already());
    }
    // Two commands at once must not mount over each other: the second waits for the lock on the
    // directory, and finds the first's mount then.
    let _lock = lock(&beneath.path)?;
    if place()?.is_our_mount() {
        return Err(already());
    }
    let connection = if geteuid().is_root() {
        mount_as_root(&beneath.path, settings)?
    } else {
        fusermount::mount(&beneath.path, settings)?
    };
    let mount = place()?.mount.ok_or_else(|| MountError::Kernel(io::Error::other("it does not show")))?;
    Ok((mount, connection))
}

fn unusable(directory: &Path, error: io::Error) -> MountError {
    MountError::Unusable { path: directory.display().to_string(), error }
}

/// The lock on the directory, for which flock(2) itself would wait without a limit.
fn lock(path: &Path) -> Result<Flock<File>, MountError> {
    let mut directory = File::open(path).map_err(|error| unusable(path, error))?;
    let start = Instant::now();
    loop {
        directory = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((directory, Errno::EWOULDBLOCK)) if start.elapsed() < LOCK_LIMIT => directory,
            Err((_, Errno::EWOULDBLOCK)) => return Err(MountError::Locked(path.display().to_string())),
            Err((_, errno)) => return Err(unusable(path, errno.into())),
        };
        thread::sleep(Duration::from_millis(20));
    }
}

impl Mounted {
    /// The filesystem's device, as `MAJOR:MINOR`.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the mount point was missing, and has been made.
    pub fn made_directory(&self) -> bool {
        !self.made.0.is_empty()
    }

    /// Unmounts, or detaches a busy mount; only this very mount, wherever it has been moved and whatever
    /// has been mounted at its place since.
    ///
    /// # Errors
    /// When something lies over it, and what the system said.
    pub fn unmount(&self) -> Result<Unmounted, UnmountError> {
        let cannot = |error: io::Error| refused(&self.path, &error);
        let now = mountinfo::with_id(self.id).map_err(cannot)?;
        let Some(now) = now.filter(|mount| mount.is_ours() && mount.device == self.device) else {
            return Ok(Unmounted::Already);
        };
        let seen = Place::at(&now.path).ok().and_then(|place| place.mount);
        if seen.is_none_or(|mount| mount.id != self.id) {
            return Err(UnmountError::Covered(now.path.display().to_string()));
        }
        take_down(&now.path, false)
    }

    /// Unmounts what could not be served, and removes the directories that were made for it.
    pub fn undo(self) {
        // The error to tell is the one that led here.
        let _ = self.unmount();
        self.remove_made();
    }

    /// Removes the directories that were made for a mount that nobody wants.
    pub fn remove_made(&self) {
        self.made.remove();
    }
}

/// Directories that were missing on the way to a mount point, the uppermost first.
#[derive(Debug)]
struct MadeDirectories(Vec<PathBuf>);

impl MadeDirectories {
    fn up_to(directory: &Path) -> io::Result<MadeDirectories> {
        let missing =
            |path: &&Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let mut made: Vec<_> = directory.ancestors().take_while(missing).map(Path::to_owned).collect();
        made.reverse();
        let made = MadeDirectories(made);
        fs::create_dir_all(directory).inspect_err(|_| made.remove())?;
        Ok(made)
    }

    fn remove(&self) {
        for directory in self.0.iter().rev() {
            let _ = fs::remove_dir(directory); // fails where somebody uses it by now, rightly
        }
    }
}

fn mount_as_root(path: &Path, settings: &MountSettings) -> Result<OwnedFd, MountError> {
    let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(DEVICE);
    let device = OwnedFd::from(device.map_err(device_error)?);
    let attributes = MountAttributes {
        source: settings.source.clone(),
        subtype: "akvfs",
        owner_uid: geteuid().as_raw(),
        owner_gid: getegid().as_raw(),
        allow_other: settings.allow_other,
        read_only: settings.read_only,
    };
    mount_fuse(device.as_fd(), path, &attributes).map_err(MountError::Kernel)?;
    Ok(device)
}

pub(super) fn device_error(error: io::Error) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDevice,
        io::ErrorKind::PermissionDenied => MountError::DeviceForbidden,
        _ => match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => MountError::NoDevice, // the node is there, the module is not
            _ => MountError::Kernel(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_that_were_made_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("theirs/a/b"));
        fs::create_dir(&theirs).unwrap();
        MadeDirectories::up_to(&ours).unwrap().remove();
        assert!(theirs.is_dir() && !theirs.join("a").exists());
        MadeDirectories::up_to(&theirs).unwrap().remove();
        assert!(theirs.is_dir());
    }
}
