//! The kernel's newer mount calls for FUSE: fsopen(2), fsconfig(2), fsmount(2), move_mount(2).
//!
//! Neither libc nor nix wraps them. They are used because they keep the superblock writable while
//! the mount that users see is read-only, and because every option is passed apart from the others:
//! a comma in a name cannot become an option.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a new FUSE mount is to be like.
#[derive(Debug, Clone)]
pub struct MountAttributes {
    /// What `findmnt` shows as SOURCE.
    pub source: String,
    /// What follows `fuse.` in the filesystem type.
    pub subtype: &'static str,
    /// Only this user may enter, unless [`allow_other`](Self::allow_other).
    pub owner_uid: u32,
    /// Group of the mount's owner.
    pub owner_gid: u32,
    /// Whether users other than the owner may enter; the kernel then checks modes
    /// (`default_permissions`).
    pub allow_other: bool,
    /// Whether users see a read-only mount. The superblock stays writable either way.
    pub read_only: bool,
}

/// Attaches the FUSE connection `device` (an open `/dev/fuse`) at `directory`, always with `nosuid`,
/// `nodev` and `noexec`. Needs CAP_SYS_ADMIN in the mount namespace.
///
/// # Errors
/// The kernel's errno of the call that failed; for fsconfig(2), with the kernel's own explanation.
pub fn mount_fuse(device: BorrowedFd<'_>, directory: &Path, attributes: &MountAttributes) -> io::Result<()> {
    let context = open_context()?;
    let text = |value: u32| value.to_string();
    for (key, value) in [
        ("source", attributes.source.clone()),
        ("subtype", attributes.subtype.to_owned()),
        ("fd", device.as_raw_fd().to_string()),
        ("rootmode", "40000".to_owned()), // S_IFDIR, octal
        ("user_id", text(attributes.owner_uid)),
        ("group_id", text(attributes.owner_gid)),
    ] {
        configure(&context, libc::FSCONFIG_SET_STRING, Some(key), Some(&value))?;
    }
    if attributes.allow_other {
        for flag in ["allow_other", "default_permissions"] {
            configure(&context, libc::FSCONFIG_SET_FLAG, Some(flag), None)?;
        }
    }
    configure(&context, libc::FSCONFIG_CMD_CREATE, None, None)?;
    attach(&detached_mount(&context, attributes.read_only)?, directory)
}

fn open_context() -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string constant; the call keeps no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_fsopen, c"fuse".as_ptr(), libc::FSOPEN_CLOEXEC) };
    owned(fd)
}

fn configure(context: &OwnedFd, command: libc::c_uint, key: Option<&str>, value: Option<&str>) -> io::Result<()> {
    let key = key.map(CString::new).transpose()?;
    let value = value.map(CString::new).transpose()?;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: the pointers are null or C strings that live past the call, which keeps none of them.
    let result =
        unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, pointer(&key), pointer(&value), 0) };
    match done(result) {
        Ok(()) => Ok(()),
        Err(error) => Err(explained(context, error)),
    }
}

/// The kernel queues its reasons on the context, to be read like a file.
fn explained(context: &OwnedFd, error: io::Error) -> io::Error {
    let mut message = [0_u8; 256];
    match nix::unistd::read(context, &mut message) {
        Ok(length) => {
            let reason = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).trim().to_owned();
            io::Error::new(error.kind(), format!("{error}: {reason}"))
        }
        Err(_) => error,
    }
}

fn detached_mount(context: &OwnedFd, read_only: bool) -> io::Result<OwnedFd> {
    let mut flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if read_only {
        flags |= libc::MOUNT_ATTR_RDONLY;
    }
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, flags) };
    owned(fd)
}

fn attach(mount: &OwnedFd, directory: &Path) -> io::Result<()> {
    let directory = CString::new(directory.as_os_str().as_bytes())?;
    let empty: *const c_char = c"".as_ptr();
    // SAFETY: both paths are C strings that live past the call, which keeps neither.
    done(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            empty,
            libc::AT_FDCWD,
            directory.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    done(fd)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just handed out this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
