//! Changes of secrets, told to the kernel in its own terms.

use std::sync::Arc;

use super::kernel::Kernel;
use crate::cache::{Change, ChangeKind};
use crate::fs::Fs;
use crate::rotation::KernelNotifier;
use crate::vault::Vault;

/// Knows which inodes and names of the mount belong to a secret.
pub struct Notifier<V> {
    fs: Arc<Fs<V>>,
    kernel: Kernel,
}

impl<V: Vault> Notifier<V> {
    /// For this filesystem and the kernel that it is served to.
    pub fn new(fs: Arc<Fs<V>>, kernel: Kernel) -> Notifier<V> {
        Notifier { fs, kernel }
    }
}

impl<V: Vault> KernelNotifier for Notifier<V> {
    fn forget(&self, change: &Change) {
        for place in self.fs.places_of(&change.name) {
            match change.kind {
                ChangeKind::Value { .. } => self.kernel.forget_content(place.inode),
                ChangeKind::Properties => self.kernel.forget_attributes(place.inode),
                ChangeKind::Gone => {
                    self.kernel.forget_content(place.inode);
                    self.kernel.forget_name(place.parent, &place.name);
                }
            }
        }
    }

    fn forget_all(&self) {
        self.kernel.forget(&self.fs.known_inodes());
    }
}
