//! Extended attributes (getxattr(2)), for which neither std nor nix has a call.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The value of a file's extended attribute.
///
/// # Errors
/// What the kernel says: `ENODATA` where there is no such attribute.
pub fn extended_attribute(path: &Path, name: &CStr) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let call = |room: &mut [u8]| {
        // SAFETY: path and name are C strings, and the kernel writes no more than the room that it is told of.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    };
    // Nothing larger can be had (`XATTR_SIZE_MAX`).
    let mut value = vec![0; 1 << 16];
    let length = call(&mut value)?;
    value.truncate(length);
    Ok(value)
}
