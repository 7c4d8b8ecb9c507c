//! What is open, by number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Open files, or open directories. Numbers are not used twice.
pub(super) struct Handles<T> {
    open: Mutex<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles::from(1)
    }
}

impl<T> From<u64> for Handles<T> {
    /// Numbers from this one on.
    fn from(first: u64) -> Self {
        Handles { open: Mutex::default(), next: AtomicU64::new(first) }
    }
}

impl<T> Handles<T> {
    pub(super) fn open(&self, thing: T) -> u64 {
        self.open_shared(thing).0
    }

    /// The same, for a thing that others have to know of as well.
    pub(super) fn open_shared(&self, thing: T) -> (u64, Arc<T>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let thing = Arc::new(thing);
        self.open.lock().insert(number, Arc::clone(&thing));
        (number, thing)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.open.lock().get(&number).cloned()
    }

    /// The first thing of which this is something.
    pub(super) fn find<R>(&self, of: impl Fn(&T) -> Option<R>) -> Option<R> {
        self.open.lock().values().find_map(|thing| of(thing))
    }

    pub(super) fn close(&self, number: u64) {
        self.open.lock().remove(&number);
    }
}
