//! Attaching a FUSE connection to a directory, and detaching it: our own, never a stranger's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, umount2};
use nix::unistd::{getegid, geteuid};

use super::mountinfo::{self, Mount};
use crate::sys::{MountAttributes, mount_fuse, receive_descriptor};

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
/// Where fusermount3 hands over the connection, by its number.
const HELPER_SOCKET: &str = "_FUSE_COMMFD";

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
    /// A dead mount is there that is not ours to clear.
    #[error("a dead mount of {fstype} is at {path}: whoever mounted it has to unmount it first")]
    DeadStranger {
        /// The mount point.
        path: String,
        /// The type of what is mounted there, or whose it is.
        fstype: String,
    },
    /// The directory holds something.
    #[error("{0} is not empty: a mount would hide what is in it; choose an empty or a new directory")]
    NotEmpty(String),
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
    #[error("{HELPER} is not installed, and only root can mount without it: install the package fuse3")]
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
    made: bool,
}

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
    /// The system refused.
    #[error("cannot unmount {path}: {why}")]
    Refused {
        /// The mount point.
        path: String,
        /// What the system or fusermount3 said.
        why: String,
    },
}

/// Makes sure that the directory can be mounted on; it need not exist yet. A dead mount of our own is
/// cleared.
///
/// # Errors
/// When something is there already: a live mount of ours, a dead one of somebody else's, files.
pub fn check(directory: &Path) -> Result<(), MountError> {
    let shown = || directory.display().to_string();
    let unusable = |error| MountError::Unusable { path: shown(), error };
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is_dead(&error) => clear_dead(directory)?,
        // A live mount of another user's cannot be looked at; the table below still shows it.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(unusable(error)),
        Ok(_) | Err(_) => {}
    }
    if mountinfo::at(&resolved(directory)).map_err(unusable)?.is_some_and(|mount| mount.is_ours()) {
        return Err(MountError::AlreadyMounted(shown()));
    }
    let mut entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => MountError::NotADirectory(shown()),
        _ => unusable(error),
    })?;
    if entries.next().is_some() { Err(MountError::NotEmpty(shown())) } else { Ok(()) }
}

/// Attaches a new FUSE connection to the directory, which is made if it is missing. The mount is there
/// when this returns; it answers once the connection is served.
///
/// # Errors
/// What is missing, with the remedy.
pub fn mount(directory: &Path, settings: &MountSettings) -> Result<(Mounted, OwnedFd), MountError> {
    let unusable = |error| MountError::Unusable { path: directory.display().to_string(), error };
    let made = !directory.exists();
    fs::create_dir_all(directory).map_err(unusable)?;
    let path = fs::canonicalize(directory).map_err(unusable)?;
    // Two commands at once must not mount over each other: the second finds the first's mount, or waits
    // for the lock on the directory under it, and finds it then.
    let beneath = File::open(&path).map_err(unusable)?;
    let _lock = Flock::lock(beneath, FlockArg::LockExclusive).map_err(|(_, errno)| unusable(errno.into()))?;
    if mountinfo::at(&path).map_err(unusable)?.is_some_and(|mount| mount.is_ours()) {
        return Err(MountError::AlreadyMounted(directory.display().to_string()));
    }
    let connection =
        if geteuid().is_root() { mount_as_root(&path, settings)? } else { mount_as_user(&path, settings)? };
    let mount = mountinfo::at(&path).map_err(unusable)?;
    let id = mount.map(|mount| mount.id).ok_or_else(|| MountError::Kernel(io::Error::other("it does not show")))?;
    Ok((Mounted { path, id, made }, connection))
}

impl Mounted {
    /// The mount point.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the mount point was missing, and has been made.
    pub fn made_directory(&self) -> bool {
        self.made
    }

    /// Unmounts, or detaches a busy mount; only this very mount, whatever has been mounted at its place
    /// since.
    ///
    /// # Errors
    /// What the system said.
    pub fn unmount(&self) -> Result<Unmounted, UnmountError> {
        match mountinfo::at(&self.path) {
            Ok(Some(mount)) if mount.id == self.id => take_down(&self.path, false),
            Ok(_) => Ok(Unmounted::Already),
            Err(error) => Err(refused(&self.path, &error)),
        }
    }
}

/// Unmounts what akvfs has mounted at the directory, live or dead; a busy mount is detached, as it is
/// at once with `lazy`.
///
/// # Errors
/// Where nothing of ours is, and what the system said.
pub fn unmount(directory: &Path, lazy: bool) -> Result<Unmounted, UnmountError> {
    let path = resolved(directory);
    match mountinfo::at(&path) {
        Ok(Some(mount)) if mount.is_ours() => take_down(&path, lazy),
        Ok(_) => Err(UnmountError::NotMounted(directory.display().to_string())),
        Err(error) => Err(refused(directory, &error)),
    }
}

/// The path as mountinfo spells it. The last part cannot be looked up when the mount on it is dead, so
/// only what leads there is.
fn resolved(directory: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(directory) {
        return path;
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), directory.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => directory.to_owned(),
    }
}

fn is_dead(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}

/// Clears a mount whose daemon is gone, if it was ours.
fn clear_dead(directory: &Path) -> Result<(), MountError> {
    let path = resolved(directory);
    let stranger = |fstype: String| MountError::DeadStranger { path: directory.display().to_string(), fstype };
    let ours = |mount: &Mount| mount.owner_uid == Some(geteuid().as_raw()) || geteuid().is_root();
    match mountinfo::at(&path) {
        Ok(Some(mount)) if mount.is_ours() && ours(&mount) => {
            take_down(&path, true).map_err(|error| stranger(error.to_string()))?;
            tracing::warn!("cleared the dead mount at {}", path.display());
            Ok(())
        }
        Ok(Some(mount)) if mount.is_ours() => Err(stranger("another user's akvfs".to_owned())),
        Ok(Some(mount)) => Err(stranger(mount.fstype.to_string_lossy().into_owned())),
        Ok(None) => Err(stranger("an unknown filesystem".to_owned())),
        Err(error) => Err(MountError::Kernel(error)),
    }
}

fn take_down(path: &Path, lazy: bool) -> Result<Unmounted, UnmountError> {
    if !lazy {
        match unmount_call(path, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => return Ok(Unmounted::Clean),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(refused(path, &error)),
        }
    }
    unmount_call(path, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)
        .map(|()| Unmounted::Detached)
        .map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &io::Error) -> UnmountError {
    UnmountError::Refused { path: path.display().to_string(), why: error.to_string() }
}

/// umount2(2) for root; for others fusermount3, which may.
fn unmount_call(path: &Path, flags: MntFlags) -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(umount2(path, flags)?);
    }
    let lazy = flags.contains(MntFlags::MNT_DETACH);
    let mut helper = Command::new(HELPER);
    helper.arg("-u").args(lazy.then_some("-z")).arg("--").arg(path).stdin(Stdio::null());
    let output = helper.output()?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if reason.contains("busy") { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { Err(io::Error::other(reason)) }
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

fn device_error(error: io::Error) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDevice,
        io::ErrorKind::PermissionDenied => MountError::DeviceForbidden,
        _ => match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => MountError::NoDevice, // the node is there, the module is not
            _ => MountError::Kernel(error),
        },
    }
}

/// fusermount3 mounts for us, and passes the connection back over a socket that it inherits.
fn mount_as_user(path: &Path, settings: &MountSettings) -> Result<OwnedFd, MountError> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    drop(device.map_err(device_error)?); // the helper's own words for this are about something else
    let (ours, theirs) = UnixStream::pair().map_err(MountError::Kernel)?;
    keep_on_exec(&theirs).map_err(MountError::Kernel)?;
    let access = if settings.read_only { "ro" } else { "rw" };
    let mut options = format!("fsname={},subtype=akvfs,nosuid,nodev,noexec,{access}", escaped(&settings.source));
    if settings.allow_other {
        options.push_str(",allow_other,default_permissions");
    }
    let mut helper = Command::new(HELPER);
    helper.args(["-o", &options, "--"]).arg(path).env(HELPER_SOCKET, theirs.as_raw_fd().to_string());
    let output = helper.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoHelper,
        _ => MountError::Kernel(error),
    })?;
    drop(theirs);
    if !output.status.success() {
        return Err(helper_error(&String::from_utf8_lossy(&output.stderr)));
    }
    receive_descriptor(&ours).map_err(MountError::Kernel)
}

fn helper_error(stderr: &str) -> MountError {
    if stderr.contains("user_allow_other") {
        return MountError::OtherNotAllowed;
    }
    let prefix = format!("{HELPER}: ");
    let reason = stderr.lines().last().unwrap_or("it gave no reason").trim();
    MountError::Helper(reason.strip_prefix(&prefix).unwrap_or(reason).to_owned())
}

/// fusermount3 takes a backslash before a comma for "part of the name".
fn escaped(source: &str) -> String {
    source.replace('\\', r"\\").replace(',', r"\,")
}

fn keep_on_exec(socket: &UnixStream) -> io::Result<()> {
    nix::fcntl::fcntl(socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_or_missing_directory_will_do() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path()).unwrap();
        check(&folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(check(folder.path()), Err(MountError::NotEmpty(_))));
        assert!(matches!(check(&folder.path().join("file")), Err(MountError::NotADirectory(_))));
    }

    #[test]
    fn the_helpers_words_become_ours() {
        let stderr = "fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\n";
        assert!(matches!(helper_error(stderr), MountError::OtherNotAllowed));
        assert_eq!(helper_error("fusermount3: bad mount point\n").to_string(), "fusermount3 refused: bad mount point");
    }

    #[test]
    fn a_comma_in_a_name_is_no_option() {
        assert_eq!(escaped(r"a,allow_other\"), r"a\,allow_other\\");
    }
}
