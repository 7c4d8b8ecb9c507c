//! One callback per kernel request: decode, ask the filesystem, reply.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::caller::{caller, descriptors};
use super::complaints::{Complaints, Origin};
use super::curfew::Curfews;
use super::kernel::Kernel;
use super::reply::{caught, file_attr, file_type, settle};
use super::spin::Spin;
use super::teller::Teller;
use crate::fs::{
    Answer, Caller, Entries, Fs, FsError, Keeping, NewAttributes, Opened, OpenedDirectory, Shown, is_writer,
};
use crate::tree::{FILE_NAME_MAX, Refresh};
use crate::vault::Vault;

/// Numbers are never used for another place, so the second half of an NFS handle is constant.
const GENERATION: Generation = Generation(0);
/// Requests in the background, which readahead and asynchronous reads are; fuser's own default is 16.
const BACKGROUND: u16 = 1024;

/// What the filesystem gives no file as its handle.
const NOTHING_OPEN: u64 = 0;

pub(super) struct Adapter<V> {
    fs: Arc<Fs<V>>,
    /// `MAJOR:MINOR`, as the kernel writes it.
    device: Arc<str>,
    kernel: Kernel,
    curfews: Arc<Curfews>,
    teller: Teller,
    spin: Option<Spin>,
    runtime: Handle,
    deadline: Duration,
    complaints: Arc<Complaints<V>>,
}

impl<V: Vault> Adapter<V> {
    /// Runs within a tokio runtime, whose tasks will wait for the vault.
    pub(super) fn new(
        fs: Arc<Fs<V>>,
        device: &str,
        kernel: Kernel,
        teller: Teller,
        spin: Option<Spin>,
        deadline: Duration,
    ) -> Adapter<V> {
        let complaints = Arc::new(Complaints::new(Arc::clone(&fs)));
        let (device, runtime) = (device.into(), Handle::current());
        let curfews = Arc::new(Curfews::new(kernel.clone(), runtime.clone()));
        Adapter { fs, device, kernel, curfews, teller, spin, runtime, deadline, complaints }
    }

    fn settle<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce() -> Answer<T>,
        reply: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        self.settle_named(origin, None, work, reply);
    }

    /// The same for an operation on a name in the inode, whose refusal is remembered there.
    fn settle_named<T: Send + 'static>(
        &self,
        origin: Origin,
        name: Option<&OsStr>,
        work: impl FnOnce() -> Answer<T>,
        reply: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        self.seen();
        let (fs, name) = (Arc::clone(&self.fs), name.map(OsStr::to_owned));
        let complaints = Arc::clone(&self.complaints);
        settle(&self.runtime, self.deadline, origin, work, move |result| {
            reply(result.map_err(|error| {
                fs.refused(origin.inode, name.as_deref(), &error);
                complaints.refused(origin, &error)
            }));
        });
    }

    fn write_refused(&self, operation: &'static str, request: &Request, inode: INodeNo, name: &OsStr) -> Errno {
        let error = self.fs.no_such_kind();
        self.fs.refused(inode.0, Some(name), &error);
        self.complaints.refused(origin(operation, request, inode), &error)
    }

    /// A touch changes nothing. The kernel takes the size in this answer however late it comes, so it is
    /// the one that it was told last; opens wait until the touch is over.
    fn touched(&self, inode: INodeNo, reply: ReplyAttr) {
        match caught(|| self.fs.attributes_told(inode.0)) {
            Ok(attributes) => reply.attr(&Duration::ZERO, &file_attr(&attributes)),
            Err(error) => reply.error(Errno::from_i32(error.errno())),
        }
    }

    /// Answered once the kernel has forgotten as well.
    fn refresh(&self, order: Refresh, caller: &Caller) -> Answer<Vec<u8>> {
        if let Err(error) = self.fs.refresh(&order, caller) {
            return Answer::Now(Err(error));
        }
        let (fs, kernel) = (Arc::clone(&self.fs), self.kernel.clone());
        let told = self.runtime.spawn_blocking(move || match order {
            Refresh::All => kernel.forget(&fs.listings(), &fs.known_inodes()),
            Refresh::One(name) => {
                fs.listings().into_iter().for_each(|directory| kernel.forget_content(directory));
                fs.places_of(&name).iter().for_each(|place| kernel.forget_place(place));
            }
        });
        Answer::of(async { told.await.map(|()| Vec::new()).map_err(|_| FsError::Broken) })
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

/// Direct: what was read must not stay in the page cache, unless the user wants it there.
fn opened(reply: ReplyOpen, handle: u64, keep: bool) {
    let caching = if keep { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::FOPEN_DIRECT_IO };
    reply.opened(FileHandle(handle), caching | FopenFlags::FOPEN_NOFLUSH);
}

impl<V: Vault> Filesystem for Adapter<V> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_PARALLEL_DIROPS, // else one slow lookup holds up its directory
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_ATOMIC_O_TRUNC, // else opening with truncation looks like an explicit truncate(2)
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
        self.settle_named(origin("lookup", request, parent), Some(name), || self.fs.find(parent.0, name), answer);
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
        self.settle(origin("getattr", request, inode), || self.fs.stat(inode.0, || caller(request)), answer);
    }

    fn open(&self, request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.kernel.is_touch(request.pid()) {
            return opened(reply, NOTHING_OPEN, false);
        }
        if self.fs.is_written(inode.0, flags.0) {
            let answer = |result: Result<u64, Errno>| match result {
                Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
                Err(errno) => reply.error(errno),
            };
            let work = || Answer::Now(self.fs.open_to_write(inode.0, flags.0, &caller(request)));
            return self.settle(origin("open", request, inode), work, answer);
        }
        let (fs, kernel, teller) = (Arc::clone(&self.fs), self.kernel.clone(), self.teller.clone());
        let answer = move |result: Result<Opened, Errno>| match result {
            Ok(Opened { handle, taken: true, keep, .. }) if !kernel.is_touching() => opened(reply, handle, keep),
            Ok(Opened { handle, size, keep, .. }) => {
                teller.tell(move || {
                    if let Ok(snapshot) = fs.snapshot(handle) {
                        let last = snapshot.expose_range(size.saturating_sub(1), 1);
                        fs.tell_size(inode.0, size, || kernel.tell_size(inode.0, size, last));
                    }
                    opened(reply, handle, keep);
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
        if is_writer(handle.0) {
            let answer = |result: Result<Zeroizing<Vec<u8>>, Errno>| match result {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            };
            let work = || self.fs.read_written(handle.0, offset, size);
            return self.settle(origin("read", request, inode), work, answer);
        }
        self.seen();
        match caught(|| self.fs.snapshot(handle.0)) {
            Ok(snapshot) => reply.data(snapshot.expose_range(offset, size as usize)),
            Err(error) => reply.error(self.complaints.refused(origin("read", request, inode), &error)),
        }
    }

    fn release(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if is_writer(handle.0) {
            let work = || self.fs.release_written(handle.0);
            return self.settle(origin("release", request, inode), work, empty(reply));
        }
        self.seen();
        self.fs.release(handle.0);
        reply.ok();
    }

    fn write(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let answer = |result: Result<u32, Errno>| match result {
            Ok(written) => reply.written(written),
            Err(errno) => reply.error(errno),
        };
        let append = flags.0 & libc::O_APPEND != 0;
        self.settle(origin("write", request, inode), || self.fs.write(handle.0, offset, data, append), answer);
    }

    fn flush(&self, request: &Request, inode: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        if !is_writer(handle.0) {
            return reply.ok();
        }
        let work = || {
            let caller = caller(request);
            let device = Arc::clone(&self.device);
            self.fs.flush(handle.0, &caller, move || descriptors(caller.process, &device, inode.0))
        };
        self.settle(origin("flush", request, inode), work, empty(reply));
    }

    fn fsync(&self, request: &Request, inode: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        if !is_writer(handle.0) {
            return reply.ok();
        }
        self.settle(origin("fsync", request, inode), || self.fs.fsync(handle.0), empty(reply));
    }

    fn fallocate(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let work = || match mode {
            0 => self.fs.resize(handle.0, offset.saturating_add(length), true),
            libc::FALLOC_FL_KEEP_SIZE => Answer::Now(Ok(())), // there are no blocks to reserve
            _ => Answer::Now(Err(FsError::Unsupported("no holes can be made in a secret".into()))),
        };
        self.settle(origin("fallocate", request, inode), work, empty(reply));
    }

    fn opendir(&self, request: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match caught(|| self.fs.opendir(inode.0)) {
            Ok(OpenedDirectory { handle, keeping }) => {
                let flags = match keeping {
                    Keeping::Nothing => FopenFlags::empty(),
                    Keeping::Anew => FopenFlags::FOPEN_CACHE_DIR,
                    Keeping::Kept => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
                };
                reply.opened(FileHandle(handle), flags);
            }
            Err(error) => reply.error(self.complaints.refused(origin("opendir", request, inode), &error)),
        }
    }

    fn readdir(&self, request: &Request, inode: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let curfews = Arc::clone(&self.curfews);
        let answer = move |result: Result<Entries<V>, Errno>| match result {
            Ok(entries) => {
                curfews.listed(inode.0, &entries);
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
        let (fs, curfews) = (Arc::clone(&self.fs), Arc::clone(&self.curfews));
        let answer = move |result: Result<Entries<V>, Errno>| match result {
            Ok(entries) => {
                curfews.listed(inode.0, &entries);
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

    fn fsyncdir(&self, request: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.settle(origin("fsyncdir", request, inode), || self.fs.fsyncdir(inode.0), empty(reply));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // A vault has no size to speak of: no blocks, no count of files.
        reply.statfs(0, 0, 0, 0, 0, 4096, FILE_NAME_MAX, 4096);
    }

    fn getxattr(&self, request: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if let Some(order) = name.to_str().and_then(Refresh::parse) {
            let work = || self.refresh(order, &caller(request));
            return self.settle(origin("refresh", request, inode), work, sized(size, reply));
        }
        self.settle(origin("getxattr", request, inode), || self.fs.extended(inode.0, name), sized(size, reply));
    }

    fn listxattr(&self, request: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        self.settle(origin("listxattr", request, inode), || self.fs.extended_names(inode.0), sized(size, reply));
    }

    fn setxattr(
        &self,
        request: &Request,
        inode: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let work = || self.fs.set_extended(inode.0, name, value, flags);
        self.settle(origin("setxattr", request, inode), work, empty(reply));
    }

    fn removexattr(&self, request: &Request, inode: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = || self.fs.remove_extended(inode.0, name);
        self.settle(origin("removexattr", request, inode), work, empty(reply));
    }

    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if self.kernel.is_touch(request.pid()) {
            return self.touched(inode, reply);
        }
        let answer = |result: Result<Shown, Errno>| match result {
            Ok(shown) => reply.attr(&shown.attributes_for, &file_attr(&shown.attributes)),
            Err(errno) => reply.error(errno),
        };
        let handle = handle.map(|handle| handle.0);
        let new = NewAttributes { mode, uid, gid, size, modified: modified.map(unix_seconds), handle };
        let work = || self.fs.set_attributes(inode.0, new, &caller(request));
        self.settle(origin("setattr", request, inode), work, answer);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let answer = |result: Result<(Shown, u64), Errno>| match result {
            Ok((shown, handle)) => reply.created(
                &shown.attributes_for,
                &file_attr(&shown.attributes),
                GENERATION,
                FileHandle(handle),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(errno) => reply.error(errno),
        };
        let work = || Answer::Now(self.fs.create(parent.0, name, mode & !umask, flags, &caller(request)));
        self.settle_named(origin("create", request, parent), Some(name), work, answer);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let answer = |result: Result<Shown, Errno>| match result {
            Ok(shown) => reply.entry(&shown.attributes_for, &file_attr(&shown.attributes), GENERATION),
            Err(errno) => reply.error(errno),
        };
        let work = || self.fs.mkdir(parent.0, name, &caller(request));
        self.settle_named(origin("mkdir", request, parent), Some(name), work, answer);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = || Answer::Now(self.fs.unlink(parent.0, name, &caller(request)));
        self.settle_named(origin("unlink", request, parent), Some(name), work, empty(reply));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = || self.fs.rmdir(parent.0, name, &caller(request));
        self.settle_named(origin("rmdir", request, parent), Some(name), work, empty(reply));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (kernel, runtime, moved) = (self.kernel.clone(), self.runtime.clone(), new_name.to_owned());
        let answer = move |result: Result<(), Errno>| match result {
            Ok(()) => {
                reply.ok();
                if parent != new_parent {
                    // A secret is another place there, with an inode of its own, but the kernel has moved the old
                    // one. Until that name is dropped, its next rename by another spelling is ESTALE.
                    runtime.spawn_blocking(move || kernel.forget_name(new_parent.0, &moved));
                }
            }
            Err(errno) => reply.error(errno),
        };
        let work = || {
            if flags.difference(RenameFlags::RENAME_NOREPLACE).is_empty() {
                self.fs.rename((parent.0, name), (new_parent.0, new_name), no_replace, &caller(request))
            } else {
                Answer::Now(Err(FsError::Invalid("two names cannot be exchanged here".into())))
            }
        };
        self.settle_named(origin("rename", request, parent), Some(name), work, answer);
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(self.write_refused("mknod", request, parent, name));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(self.write_refused("symlink", request, parent, name));
    }

    fn link(&self, request: &Request, _: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply.error(self.write_refused("link", request, parent, name));
    }
}

fn empty(reply: ReplyEmpty) -> impl FnOnce(Result<(), Errno>) + Send + 'static {
    |result| match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// An extended attribute, or how much room it takes where the caller asks for that (getxattr(2)).
fn sized(room: u32, reply: ReplyXattr) -> impl FnOnce(Result<Vec<u8>, Errno>) + Send + 'static {
    move |result| match result {
        Ok(bytes) => match u32::try_from(bytes.len()) {
            Ok(length) if room == 0 => reply.size(length),
            Ok(length) if length <= room => reply.data(&bytes),
            _ => reply.error(Errno::ERANGE),
        },
        Err(errno) => reply.error(errno),
    }
}

fn unix_seconds(time: TimeOrNow) -> i64 {
    let time = match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    };
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
