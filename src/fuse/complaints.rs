//! The log of calls that failed: where, why, and not over and over.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::Errno;
use lru::LruCache;
use parking_lot::Mutex;
use tracing::Level;

use crate::fs::{Fs, FsError};
use crate::vault::Vault;

/// A program that tries again and again does not fill the log: one line for a file and an error, and
/// the next one after this time says how many there were in between.
const QUIET: Duration = Duration::from_secs(60);
/// Files and errors that are remembered as told.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Where a request came from, for the log and for signals.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) operation: &'static str,
    pub(super) inode: u64,
    /// The caller's thread; 0 when the kernel asks for itself or hides it.
    pub(super) pid: u32,
}

/// What has been told of failed calls.
pub(super) struct Complaints<V> {
    fs: Arc<Fs<V>>,
    told: Mutex<LruCache<(u64, i32), Told>>,
}

struct Told {
    at: Instant,
    since: u32,
}

impl<V: Vault> Complaints<V> {
    pub(super) fn new(fs: Arc<Fs<V>>) -> Complaints<V> {
        Complaints { fs, told: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Logs a failure at the level that it owns, and gives its number.
    pub(super) fn refused(&self, origin: Origin, error: &FsError) -> Errno {
        let errno = error.errno();
        let level = error.level();
        if level > Level::WARN {
            // What ordinary programs cause by looking around: for those who want to see each.
            tracing::debug!(operation = origin.operation, path = self.path(origin), pid = origin.pid, "{error}");
        } else if let Some(repeated) = self.repeated((origin.inode, errno), Instant::now()) {
            self.complain(origin, error, repeated);
        }
        Errno::from_i32(errno)
    }

    fn complain(&self, origin: Origin, error: &FsError, repeated: u32) {
        let Origin { operation, pid, .. } = origin;
        let path = self.path(origin);
        let repeated = (repeated > 0).then_some(repeated);
        match error.level() {
            Level::ERROR => tracing::error!(operation, path, pid, repeated, "{error}"),
            _ => tracing::warn!(operation, path, pid, repeated, "{error}"),
        }
    }

    /// The place in the mount; of a lookup, its directory. Its number where it has been forgotten.
    fn path(&self, origin: Origin) -> String {
        self.fs.path(origin.inode).unwrap_or_else(|| format!("inode {}", origin.inode))
    }

    /// How often the same has been left out since it was last told; `None` if it is left out now.
    fn repeated(&self, key: (u64, i32), now: Instant) -> Option<u32> {
        let mut told = self.told.lock();
        match told.get_mut(&key) {
            Some(told) if now.duration_since(told.at) < QUIET => {
                told.since = told.since.saturating_add(1);
                None
            }
            Some(told) => {
                told.at = now;
                Some(std::mem::take(&mut told.since))
            }
            None => {
                told.put(key, Told { at: now, since: 0 });
                Some(0)
            }
        }
    }
}
