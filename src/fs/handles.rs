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
        Handles { open: Mutex::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    pub(super) fn open(&self, thing: T) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(number, Arc::new(thing));
        number
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.open.lock().get(&number).cloned()
    }

    pub(super) fn close(&self, number: u64) {
        self.open.lock().remove(&number);
    }
}
