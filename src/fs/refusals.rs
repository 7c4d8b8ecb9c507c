//! The last refusal at each place, in words: what `user.akv.error` shows.

use std::ffi::OsStr;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::{Fs, FsError};
use crate::tree::Node;
use crate::vault::Vault;

/// Places whose last refusal is remembered.
const PLACES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

pub(super) struct Refusals(Mutex<LruCache<Node, String>>);

impl Default for Refusals {
    fn default() -> Self {
        Refusals(Mutex::new(LruCache::new(PLACES)))
    }
}

impl Refusals {
    pub(super) fn note(&self, node: &Node, error: &FsError) {
        let mut places = self.0.lock();
        places.put(node.parent(), error.to_string());
        places.put(node.clone(), error.to_string());
    }

    pub(super) fn last(&self, node: &Node) -> Option<String> {
        self.0.lock().get(node).cloned()
    }

    pub(super) fn forget(&self, node: &Node) {
        self.0.lock().pop(node);
    }
}

impl<V: Vault> Fs<V> {
    /// An operation on an inode, or on a name in it, has been refused: its `user.akv.error` and that of
    /// the directory say why from now on.
    pub fn refused(&self, inode: u64, name: Option<&OsStr>, error: &FsError) {
        match error {
            // Programs that look around cause these, and nobody asks why.
            FsError::NotFound
            | FsError::NameTooLong
            | FsError::NoAttribute
            | FsError::Interrupted
            | FsError::IsADirectory => return,
            FsError::BadHandle | FsError::ReadOnly | FsError::ForeignAttribute => return,
            FsError::TimedOut | FsError::Broken | FsError::NotPermitted(_) | FsError::Exists(_) => {}
            FsError::Busy(_) | FsError::Stale(_) | FsError::TooLarge(_) | FsError::NotText => {}
            FsError::NotEmpty(_) | FsError::Invalid(_) | FsError::Unsupported(_) | FsError::NoSpace(_) => {}
            FsError::Vault(_) => {}
        }
        let Some(node) = self.node(inode) else { return };
        match name.and_then(|name| node.child(name)) {
            Some(child) => self.work.refusals.note(&child, error),
            None => self.work.refusals.note(&node, error),
        }
    }
}
