//! File descriptors that come over a socket (unix(7), SCM_RIGHTS).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// Receives one descriptor, close-on-exec.
///
/// # Errors
/// When the message holds none, or the peer is gone.
pub fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0_u8; 1];
    let mut data = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut data, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part
            && let Some(descriptor) = descriptors.first()
        {
            // SAFETY: received this moment, and known to nobody else.
            return Ok(unsafe { OwnedFd::from_raw_fd(*descriptor) });
        }
    }
    Err(io::Error::other("the message held no descriptor"))
}

/// Closes every descriptor but stdin, stdout and stderr (close_range(2), Linux 5.9). For the first
/// moments of a process: nothing that it has opened itself may be open yet.
///
/// # Errors
/// When the kernel does not know the call.
pub fn close_inherited_descriptors() -> io::Result<()> {
    // SAFETY: no descriptor is owned by anybody yet, which the caller sees to; no pointer is passed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
