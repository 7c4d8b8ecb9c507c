//! Secrets that come in an environment variable, and leave it.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::SecretBytes;

/// Takes a variable out of the environment. Its bytes are overwritten where the kernel has put them, so
/// that neither `/proc/PID/environ` nor a child shows them.
///
/// Other threads may read the environment at any time: where there are some already, the variable is
/// read and left alone.
pub fn take_from_environment(name: &CStr) -> Option<SecretBytes> {
    // SAFETY: the name is terminated; the result is null or a terminated string that stays where it is
    // until somebody changes the environment, which nobody does meanwhile.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not null, and terminated.
    let length = unsafe { CStr::from_ptr(value) }.count_bytes();
    // SAFETY: so many bytes are there.
    let bytes = SecretBytes::new(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), length) }.to_vec());
    if !is_alone() {
        return Some(bytes);
    }
    for at in 0..length {
        // SAFETY: within the string, which lies in the process's own writable memory, and which no other
        // thread reads.
        unsafe { value.add(at).write_volatile(0) };
    }
    // SAFETY: there is no other thread.
    unsafe { std::env::remove_var(OsStr::from_bytes(name.to_bytes())) };
    Some(bytes)
}

/// Whether this is the process's only thread.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
