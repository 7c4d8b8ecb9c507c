//! From an answer to the kernel's reply, now or later.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::complaints::Origin;
use super::interrupt;
use crate::fs::{Answer, Done, FsError};
use crate::tree::{Attributes, FileKind};

/// Runs an operation and replies: at once if the answer is there, else from a task that waits for the
/// vault, the deadline, or a signal to the caller, whichever comes first. A panic fails this request
/// alone.
pub(super) fn settle<T: Send + 'static>(
    runtime: &Handle,
    deadline: Duration,
    origin: Origin,
    work: impl FnOnce() -> Answer<T>,
    reply: impl FnOnce(Result<T, FsError>) + Send + 'static,
) {
    let context = runtime.enter();
    let answer = caught(|| Ok(work())).unwrap_or_else(|broken| Answer::Now(Err(broken)));
    drop(context);
    match answer {
        Answer::Now(result) => reply(result),
        Answer::Later(work) => {
            runtime.spawn(async move {
                let result = tokio::select! {
                    result = AssertUnwindSafe(work).catch_unwind() => result.unwrap_or(Err(FsError::Broken)),
                    () = interrupt::interrupted(origin.pid) => Err(FsError::Interrupted),
                    () = tokio::time::sleep(deadline) => Err(FsError::TimedOut),
                };
                reply(result);
            });
        }
        // It may wait for longer than any deadline, which is what the caller has asked for.
        Answer::Settling(work) => {
            runtime.spawn(async move {
                let result = until_interrupted(origin, work).await;
                reply(result);
            });
        }
        // Once a change may be on the wire, no signal tells what becomes of it.
        Answer::Change(work) => {
            runtime.spawn(async move {
                let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(FsError::Broken));
                let result = match result {
                    Ok(Done { value, settled: None }) => Ok(value),
                    Ok(Done { value, settled: Some(work) }) => until_interrupted(origin, work).await.map(|()| value),
                    Err(error) => Err(error),
                };
                reply(result);
            });
        }
    }
}

async fn until_interrupted<T>(
    origin: Origin,
    work: impl Future<Output = Result<T, FsError>> + Send,
) -> Result<T, FsError> {
    tokio::select! {
        result = AssertUnwindSafe(work).catch_unwind() => result.unwrap_or(Err(FsError::Broken)),
        () = interrupt::interrupted(origin.pid) => Err(FsError::Interrupted),
    }
}

/// Runs what needs no vault. A panic fails this request alone: past the callback it would end the loop.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, FsError>) -> Result<T, FsError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(FsError::Broken))
}

/// The kernel's form of attributes.
pub(super) fn file_attr(attributes: &Attributes) -> FileAttr {
    let modified = time(attributes.modified);
    FileAttr {
        ino: INodeNo(attributes.inode),
        size: attributes.size,
        blocks: attributes.size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: time(attributes.changed),
        crtime: modified,
        kind: file_type(attributes.kind),
        perm: attributes.mode,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::File => FileType::RegularFile,
    }
}

fn time(unix_seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    let time = if unix_seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}
