//! How often the cache answered, and how often it asked.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the cache has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Gets answered from memory, fresh.
    pub hits: u64,
    /// Gets that had to ask the vault, or to wait for somebody who did.
    pub misses: u64,
    /// Gets answered from memory though no longer fresh, since the vault could not be asked.
    pub stale: u64,
    /// Gets sent to the vault, those of the background included.
    pub gets: u64,
    /// Gets sent in the background to keep hot values fresh.
    pub refreshes: u64,
    /// Pages of listings that came from the vault.
    pub pages: u64,
    /// Changes sent to the vault.
    pub changes: u64,
    /// Answers that were a failure of the vault, the network or the sign-in.
    pub outages: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) stale: Counter,
    pub(super) gets: Counter,
    pub(super) refreshes: Counter,
    pub(super) pages: Counter,
    pub(super) changes: Counter,
    pub(super) outages: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            hits: self.hits.read(),
            misses: self.misses.read(),
            stale: self.stale.read(),
            gets: self.gets.read(),
            refreshes: self.refreshes.read(),
            pages: self.pages.read(),
            changes: self.changes.read(),
            outages: self.outages.read(),
        }
    }
}
