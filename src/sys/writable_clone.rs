//! A mount that is seen read-only, writable for a moment: open_tree(2), mount_setattr(2).
//!
//! Neither libc nor nix wraps them.

use std::ffi::{CString, c_char};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A writable mount of what is mounted at a path, which nobody can see, and which is gone when the
/// descriptor is closed. Until then the filesystem stays mounted. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// The kernel's errno of the call that failed.
pub fn writable_clone(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a C string that lives past the call, which does not keep it.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just handed out this descriptor, and nobody else knows it.
    let clone = unsafe { OwnedFd::from_raw_fd(fd) };
    clear_read_only(&clone)?;
    Ok(clone)
}

fn clear_read_only(mount: &OwnedFd) -> io::Result<()> {
    let change = libc::mount_attr { attr_set: 0, attr_clr: libc::MOUNT_ATTR_RDONLY, propagation: 0, userns_fd: 0 };
    let empty: *const c_char = c"".as_ptr();
    // SAFETY: path and change live past the call, which keeps neither, and the size is the change's own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty,
            libc::AT_EMPTY_PATH,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
