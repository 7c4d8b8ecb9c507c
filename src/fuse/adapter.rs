//! One callback per kernel request: decode, ask the filesystem, reply.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request, TimeOrNow,
};
use tokio::runtime::Handle;

use super::complaints::{Complaints, Origin};
use super::kernel::Kernel;
use super::reply::{caught, file_attr, file_type, settle};
use super::spin::Spin;
use crate::fs::{Answer, Entries, Fs, FsError, Opened, Shown};
use crate::vault::Vault;

/// Numbers are never used for another place, so the second half of an NFS handle is constant.
const GENERATION: Generation = Generation(0);
/// The longest name: a secret's.
const NAME_MAX: u32 = 127;
/// Requests in the background, which readahead and asynchronous reads are; fuser's own default is 16.
const BACKGROUND: u16 = 1024;

/// What the filesystem gives no file as its handle.
const NOTHING_OPEN: u64 = 0;

pub(super) struct Adapter<V> {
    fs: Arc<Fs<V>>,
    kernel: Kernel,
    spin: Option<Spin>,
    runtime: Handle,
    deadline: Duration,
    complaints: Arc<Complaints<V>>,
}

impl<V: Vault> Adapter<V> {
    /// Runs within a tokio runtime, whose tasks will wait for the vault.
    pub(super) fn new(fs: Arc<Fs<V>>, kernel: Kernel, spin: Option<Spin>, deadline: Duration) -> Adapter<V> {
        let complaints = Arc::new(Complaints::new(Arc::clone(&fs)));
        Adapter { fs, kernel, spin, runtime: Handle::current(), deadline, complaints }
    }

    fn settle<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce() -> Answer<T>,
        reply: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        self.seen();
        settle(&self.runtime, self.deadline, &self.complaints, origin, work, reply);
    }

    /// What changes the tree, on a mount that does not. The kernel refuses it before we are asked, unless
    /// root has remounted us writable.
    fn read_only(&self, operation: &'static str, request: &Request, inode: INodeNo) -> Errno {
        self.complaints.refused(origin(operation, request, inode), &FsError::ReadOnly)
    }

    /// A touch changes nothing. The kernel takes the size in this answer however late it comes, so it is
    /// the one that it was told last; opens wait until the touch is over.
    fn touched(&self, inode: INodeNo, reply: ReplyAttr) {
        match caught(|| self.fs.attributes_told(inode.0)) {
            Ok(attributes) => reply.attr(&Duration::ZERO, &file_attr(&attributes)),
            Err(error) => reply.error(Errno::from_i32(error.errno())),
        }
    }

    /// A request has come, of those that come in bursts.
    fn seen(&self) {
        if let Some(spin) = &self.spin {
            spin.request();
        }
    }
}

fn origin(operation: &'static str, request: &Request, inode: INodeNo) -> Origin {
    Origin { operation, inode: inode.0, pid: request.pid() }
}

/// Direct: what was read must not stay in the page cache.
fn opened(reply: ReplyOpen, handle: u64) {
    reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH);
}

impl<V: Vault> Filesystem for Adapter<V> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS, // else one slow lookup holds up its directory
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP, // Linux 6.6; without it shared mappings are ENODEV
        ] {
            if config.add_capabilities(wanted).is_err() {
                tracing::info!("this kernel lacks {wanted:?}");
            }
        }
        // The only error is a value out of range, and these are within.
        let _ = config.set_max_background(BACKGROUND);
        let _ = config.set_max_write(128 * 1024);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let answer = |result: Result<Shown, Errno>| match result {
            Ok(Shown { attributes, attributes_for, name_for }) => {
                reply.entry_with_ttls(&attributes_for, &name_for, &file_attr(&attributes), GENERATION);
            }
            Err(errno) => reply.error(errno),
        };
        self.settle(origin("lookup", request, parent), || self.fs.lookup(parent.0, name), answer);
    }

    fn forget(&self, _: &Request, inode: INodeNo, times: u64) {
        // There is nobody to tell of an error.
        let _ = caught(|| {
            self.fs.forget(inode.0, times);
            Ok(())
        });
    }

    fn getattr(&self, request: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let answer = |result: Result<Shown, Errno>| match result {
            Ok(shown) => reply.attr(&shown.attributes_for, &file_attr(&shown.attributes)),
            Err(errno) => reply.error(errno),
        };
        self.settle(origin("getattr", request, inode), || self.fs.getattr(inode.0), answer);
    }

    fn open(&self, request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.kernel.is_touch(request.pid()) {
            return opened(reply, NOTHING_OPEN);
        }
        let (fs, kernel, runtime) = (Arc::clone(&self.fs), self.kernel.clone(), self.runtime.clone());
        let answer = move |result: Result<Opened, Errno>| match result {
            Ok(Opened { handle, taken: true, .. }) if !kernel.is_touching() => opened(reply, handle),
            Ok(Opened { handle, size, .. }) => {
                runtime.spawn_blocking(move || {
                    if let Ok(snapshot) = fs.snapshot(handle) {
                        let last = snapshot.expose_range(size.saturating_sub(1), 1);
                        fs.tell_size(inode.0, size, || kernel.tell_size(inode.0, size, last));
                    }
                    opened(reply, handle);
                });
            }
            Err(errno) => reply.error(errno),
        };
        self.settle(origin("open", request, inode), || self.fs.open(inode.0, flags.0), answer);
    }

    fn read(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.seen();
        match caught(|| self.fs.snapshot(handle.0)) {
            Ok(snapshot) => reply.data(snapshot.expose_range(offset, size as usize)),
            Err(error) => reply.error(self.complaints.refused(origin("read", request, inode), &error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.seen();
        self.fs.release(handle.0);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, request: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match caught(|| self.fs.opendir(inode.0)) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(error) => reply.error(self.complaints.refused(origin("opendir", request, inode), &error)),
        }
    }

    fn readdir(&self, request: &Request, inode: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let answer = move |result: Result<Entries<V>, Errno>| match result {
            Ok(entries) => {
                for entry in entries {
                    let attributes = &entry.shown.attributes;
                    let number = INodeNo(attributes.inode);
                    if reply.add(number, entry.next, file_type(attributes.kind), entry.name().as_ref()) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        };
        self.settle(origin("readdir", request, inode), || self.fs.readdir(handle.0, offset), answer);
    }

    fn readdirplus(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let fs = Arc::clone(&self.fs);
        let answer = move |result: Result<Entries<V>, Errno>| match result {
            Ok(entries) => {
                for entry in entries {
                    let shown = &entry.shown;
                    let lease = shown.name_for.min(shown.attributes_for); // there is room for one only
                    let attributes = file_attr(&shown.attributes);
                    if reply.add(attributes.ino, entry.next, entry.name().as_ref(), &lease, &attributes, GENERATION) {
                        break;
                    }
                    fs.told(&entry);
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        };
        self.settle(origin("readdirplus", request, inode), || self.fs.readdir(handle.0, offset), answer);
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.fs.releasedir(handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // A vault has no size to speak of: no blocks, no count of files.
        reply.statfs(0, 0, 0, 0, 0, 4096, NAME_MAX, 4096);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENODATA); // not ENOSYS, after which the kernel never asks again
    }

    fn listxattr(&self, _: &Request, _: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 { reply.size(0) } else { reply.data(&[]) }
    }

    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if self.kernel.is_touch(request.pid()) {
            return self.touched(inode, reply);
        }
        reply.error(self.read_only("setattr", request, inode));
    }

    fn mknod(&self, request: &Request, parent: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(self.read_only("mknod", request, parent));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(self.read_only("mkdir", request, parent));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(self.read_only("unlink", request, parent));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(self.read_only("rmdir", request, parent));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(self.read_only("symlink", request, parent));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(self.read_only("rename", request, parent));
    }

    fn link(&self, request: &Request, inode: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(self.read_only("link", request, inode));
    }

    fn create(&self, request: &Request, parent: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(self.read_only("create", request, parent));
    }

    fn setxattr(&self, request: &Request, inode: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(self.read_only("setxattr", request, inode));
    }

    fn removexattr(&self, request: &Request, inode: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(self.read_only("removexattr", request, inode));
    }
}
