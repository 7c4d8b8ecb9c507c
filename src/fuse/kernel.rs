//! What the kernel is told unasked: a file's size, and to forget what it knows.
//!
//! All of this may wait for a lock that a request of somebody else's holds, so it must not run on the
//! thread that answers requests.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use fuser::{INodeNo, Notifier};
use parking_lot::{Mutex, MutexGuard};
use tracing::debug;

use crate::fs::Place;

/// `FUSE_NOTIFY_INC_EPOCH` of `linux/fuse.h`, since Linux 6.16: all names are looked up again. fuser
/// cannot send it.
const INCREMENT_EPOCH: i32 = 8;

/// A line to the kernel. Cheap to clone.
#[derive(Clone, Default)]
pub struct Kernel {
    line: Arc<OnceLock<Line>>,
    /// The thread of ours that touches files now, or 0.
    touching: Arc<AtomicU32>,
    /// Held by a touch, and by who tells a size: a touch's answer would undo it.
    touch: Arc<Mutex<()>>,
}

struct Line {
    notifier: Notifier,
    connection: OwnedFd,
}

impl Kernel {
    pub(super) fn connect(&self, notifier: Notifier, connection: OwnedFd) {
        // It is connected once, before the first request.
        let _ = self.line.set(Line { notifier, connection });
    }

    /// Tells a file's size, in bytes, and its last byte, if there is one. The kernel takes a larger size
    /// only with a write or with content (`FUSE_NOTIFY_STORE`); the byte leaves its cache again with the
    /// next open. A smaller one it asks for, once it has been told to forget.
    pub(super) fn tell_size(&self, inode: u64, size: u64, last: &[u8]) {
        let Some(line) = self.line.get() else { return };
        let _no_touch = self.touch.lock();
        if let Some(at) = size.checked_sub(last.len() as u64).filter(|_| !last.is_empty()) {
            told("size", line.notifier.store(INodeNo(inode), at, last));
        }
        told("attributes", line.notifier.inval_inode(INodeNo(inode), -1, 0));
    }

    /// Makes the kernel ask again for an inode's attributes. Blocks.
    pub(super) fn forget_attributes(&self, inode: u64) {
        let Some(line) = self.line.get() else { return };
        told("attributes", line.notifier.inval_inode(INodeNo(inode), -1, 0));
    }

    /// The same, and drop what it keeps of the content: of a file for those who map it, of a directory for
    /// those who list it. Blocks, for as long as a read of it is not answered.
    pub(super) fn forget_content(&self, inode: u64) {
        let Some(line) = self.line.get() else { return };
        told("content", line.notifier.inval_inode(INodeNo(inode), 0, 0));
    }

    /// Makes the kernel look up a name again. Blocks.
    pub(super) fn forget_name(&self, parent: u64, name: impl AsRef<OsStr>) {
        let Some(line) = self.line.get() else { return };
        told("a name", line.notifier.inval_entry(INodeNo(parent), name.as_ref()));
    }

    /// The same for a place, its attributes included. Blocks.
    pub(super) fn forget_place(&self, place: &Place) {
        self.forget_attributes(place.inode);
        self.forget_name(place.parent, &place.name);
    }

    /// From now on, what this thread does in the mount is a touch. Waits for another one to end.
    pub(super) fn touching(&self, thread: u32) -> Touching<'_> {
        let alone = self.touch.lock();
        self.touching.store(thread, Ordering::SeqCst);
        Touching { thread: &self.touching, _alone: alone }
    }

    /// Whether files are being touched.
    pub(super) fn is_touching(&self) -> bool {
        self.touching.load(Ordering::SeqCst) != 0
    }

    /// Whether a request comes from the thread that touches files. The kernel's own come from thread 0.
    pub(super) fn is_touch(&self, thread: u32) -> bool {
        thread != 0 && self.touching.load(Ordering::SeqCst) == thread
    }

    /// Makes the kernel ask again for all names, for what is in these directories, and for the attributes of
    /// these inodes. Blocks.
    pub fn forget(&self, directories: &[u64], inodes: &[u64]) {
        let Some(line) = self.line.get() else { return };
        told("names", increment_epoch(&line.connection));
        directories.iter().for_each(|directory| self.forget_content(*directory));
        for inode in inodes {
            told("attributes", line.notifier.inval_inode(INodeNo(*inode), -1, 0));
        }
    }
}

/// While it lives, a thread's opens and changes of times are touches.
pub(super) struct Touching<'a> {
    thread: &'a AtomicU32,
    _alone: MutexGuard<'a, ()>,
}

impl Drop for Touching<'_> {
    fn drop(&mut self) {
        self.thread.store(0, Ordering::SeqCst);
    }
}

/// `struct fuse_out_header`: length, code, and 0, which is no request's number.
fn increment_epoch(connection: &OwnedFd) -> io::Result<()> {
    let mut message = Vec::with_capacity(16);
    message.extend_from_slice(&16_u32.to_ne_bytes());
    message.extend_from_slice(&INCREMENT_EPOCH.to_ne_bytes());
    message.extend_from_slice(&0_u64.to_ne_bytes());
    nix::unistd::write(connection, &message)?;
    Ok(())
}

/// Leases end by themselves, so what could not be told is no error, only late.
fn told(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        debug!("the kernel was not told to forget {what}: {error}");
    }
}
