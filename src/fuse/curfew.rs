//! The end of what the kernel keeps of a directory's entries: it is told when that is over, since whoever has the
//! directory open may read it again without a request of ours to tell.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

use super::kernel::Kernel;
use crate::fs::Entries;
use crate::vault::Vault;

/// By then the kernel has what it is to forget.
const SOONEST: Duration = Duration::from_secs(1);

/// One for each directory, by inode.
pub(super) struct Curfews {
    kernel: Kernel,
    runtime: Handle,
    set: Mutex<HashMap<u64, AbortHandle>>,
}

impl Curfews {
    pub(super) fn new(kernel: Kernel, runtime: Handle) -> Curfews {
        Curfews { kernel, runtime, set: Mutex::default() }
    }

    /// These entries of a directory are about to be told.
    pub(super) fn listed<V: Vault>(&self, directory: u64, entries: &Entries<V>) {
        if let Some(kept_for) = entries.kept_for() {
            self.set(directory, kept_for.max(SOONEST));
        }
    }

    /// From now on, this one alone counts for the directory.
    fn set(&self, directory: u64, after: Duration) {
        let kernel = self.kernel.clone();
        let curfew = self.runtime.spawn(async move {
            sleep(after).await;
            let _ = spawn_blocking(move || kernel.forget_content(directory)).await; // there is nobody to tell of a panic
        });
        if let Some(earlier) = self.set.lock().insert(directory, curfew.abort_handle()) {
            earlier.abort();
        }
    }
}
