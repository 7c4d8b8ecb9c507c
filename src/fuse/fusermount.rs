//! fusermount3: the setuid program that mounts and unmounts for ordinary users.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::mount::{DEVICE, MountError, MountSettings, device_error};
use crate::sys::receive_descriptor;

pub(super) const HELPER: &str = "fusermount3";
/// Where fusermount3 hands over the connection, by its number.
const HELPER_SOCKET: &str = "_FUSE_COMMFD";

/// It mounts for us, and passes the connection back over a socket that it inherits.
pub(super) fn mount(path: &Path, settings: &MountSettings) -> Result<OwnedFd, MountError> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    drop(device.map_err(device_error)?); // the helper's own words for this are about something else
    let (ours, theirs) = UnixStream::pair().map_err(MountError::Kernel)?;
    keep_on_exec(&theirs).map_err(MountError::Kernel)?;
    let access = if settings.read_only { "ro" } else { "rw" };
    let mut options = format!("fsname={},subtype=akvfs,nosuid,nodev,noexec,{access}", escaped(&settings.source));
    if settings.allow_other {
        options.push_str(",allow_other,default_permissions");
    }
    let mut helper = helper();
    helper.args(["-o", &options, "--"]).arg(path).env(HELPER_SOCKET, theirs.as_raw_fd().to_string());
    let output = helper.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoHelper,
        _ => MountError::Kernel(error),
    })?;
    drop(theirs);
    if !output.status.success() {
        return Err(helper_error(&String::from_utf8_lossy(&output.stderr)));
    }
    receive_descriptor(&ours).map_err(MountError::Kernel)
}

/// It unmounts what the same user has mounted.
pub(super) fn unmount(path: &Path, lazy: bool) -> io::Result<()> {
    let output = helper().arg("-u").args(lazy.then_some("-z")).arg("--").arg(path).output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(MountError::NoHelper.to_string()),
        _ => error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if reason.contains("busy") { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { Err(io::Error::other(reason)) }
}

/// Apart from our process group: a Ctrl-C between its mount and its handing it over would leave the
/// mount behind, dead.
fn helper() -> Command {
    let mut helper = Command::new(HELPER);
    helper.stdin(Stdio::null()).process_group(0);
    helper
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
