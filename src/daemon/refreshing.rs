//! `akvfs refresh`: an order to the mount's own process, through the mount.

use std::ffi::CString;
use std::path::Path;

use super::Failure;
use crate::sys::extended_attribute;
use crate::tree::Refresh;
use crate::vault::SecretName;

/// `akvfs refresh`.
///
/// # Errors
/// When the directory is in no mount of akvfs, it is another user's, or no secret can have that name.
pub fn refresh(directory: &Path, secret: Option<&str>) -> Result<(), Failure> {
    let order = match secret {
        None => Refresh::All,
        Some(name) => Refresh::One(SecretName::parse(name).ok_or_else(|| {
            Failure::other(format!("{name:?} is no secret's name: 1 to 127 letters, digits and dashes"))
        })?),
    };
    let shown = directory.display();
    let name = CString::new(order.name()).map_err(|error| Failure::other(error.to_string()))?;
    let answer = extended_attribute(directory, &name).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODATA | libc::EOPNOTSUPP) => Failure::other(format!("{shown} is in no mount of akvfs")),
        Some(libc::EPERM) => Failure::other(format!("only the owner of the mount on {shown} and root may do that")),
        _ => Failure::system(&format!("cannot reach the mount on {shown}"), &error),
    });
    answer.map(drop)
}
