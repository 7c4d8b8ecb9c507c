//! Changes of secrets, told to the kernel in its own terms.

use std::path::Path;
use std::sync::Arc;

use tracing::debug;

use super::kernel::Kernel;
use super::touch::Toucher;
use crate::cache::{Change, ChangeKind};
use crate::fs::Fs;
use crate::rotation::KernelNotifier;
use crate::vault::Vault;

/// Knows which inodes and names of the mount belong to a secret.
pub struct Notifier<V> {
    fs: Arc<Fs<V>>,
    kernel: Kernel,
    toucher: Option<Toucher>,
}

impl<V: Vault> Notifier<V> {
    /// For this filesystem, the kernel that it is served to, and where it is mounted.
    pub fn new(fs: Arc<Fs<V>>, kernel: Kernel, mount_point: &Path) -> Notifier<V> {
        let toucher = Toucher::new(mount_point, kernel.clone());
        Notifier { fs, kernel, toucher }
    }

    /// Tells those who watch the files, once the kernel has forgotten what was in them.
    fn touch(&self, change: &Change) {
        let touched = self.toucher.as_ref().map(|toucher| toucher.touch(&change.name));
        if let Some(Err(error)) = touched {
            debug!(secret = %change.name, "nobody who watches its files was told: {error}");
        }
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
        if let Some(moved) = self.fs.name_that_moves(&change.name) {
            self.kernel.forget_name(moved.parent, &moved.name);
        }
        match change.kind {
            ChangeKind::Value { .. } => self.touch(change),
            ChangeKind::Properties | ChangeKind::Gone => {}
        }
    }

    fn forget_all(&self) {
        self.kernel.forget(&self.fs.listings(), &self.fs.known_inodes());
    }
}
