//! `backups/`: reading a file there is a backup, writing one a restore.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::caller::Caller;
use super::facts::times;
use super::scratch::no_memory;
use super::settling::Way;
use super::writing::{Target, Writer};
use super::{Fs, FsError, Shown};
use crate::sys::SecretBuffer;
use crate::tree::{FileNumber, Node};
use crate::vault::{SecretBytes, SecretName, Vault, VaultError, VaultErrorKind};

/// Bytes of backups that are kept for a `stat` and the `open` behind it.
const BLOBS_BYTES: usize = 16 << 20;
/// A blob holds up to 500 versions of 25,600 characters, encrypted, in base64.
const BLOB_MAX: usize = 48 << 20;

/// Backups that have been made lately, or are being made, in the order in which they were asked for.
pub(super) struct Blobs(Mutex<LruCache<SecretName, Made>>);

#[derive(Clone)]
struct Made {
    asked: Instant,
    blob: Arc<OnceCell<Arc<SecretBytes>>>,
}

impl Made {
    fn len(&self) -> usize {
        self.blob.get().map_or(0, |blob| blob.len())
    }
}

impl Default for Blobs {
    fn default() -> Blobs {
        Blobs(Mutex::new(LruCache::unbounded()))
    }
}

impl Blobs {
    /// The backup that was asked for within the ttl.
    fn known(&self, name: &SecretName, ttl: Duration) -> Option<Made> {
        self.0.lock().peek(name).filter(|made| made.asked.elapsed() < ttl).cloned()
    }

    fn begin(&self, name: &SecretName) -> Made {
        let made = Made { asked: Instant::now(), blob: Arc::default() };
        self.0.lock().put(name.clone(), made.clone());
        made
    }

    /// Lets the oldest go: those past the ttl, and what is too much.
    fn sweep(&self, ttl: Duration) {
        let mut all = self.0.lock();
        let mut bytes: usize = all.iter().map(|(_, made)| made.len()).sum();
        while let Some((_, oldest)) = all.peek_lru()
            && (oldest.asked.elapsed() >= ttl || bytes > BLOBS_BYTES)
        {
            bytes -= all.pop_lru().map_or(0, |(_, made)| made.len());
        }
    }

    pub(super) fn forget(&self, name: &SecretName) {
        self.0.lock().pop(name);
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// Files that are being written in `backups/`, by name: there for as long as they are open.
#[derive(Default)]
pub(super) struct Restores(Mutex<BTreeMap<String, Arc<RestoreFile>>>);

impl Restores {
    pub(super) fn named(&self, name: &str) -> Option<Arc<RestoreFile>> {
        self.0.lock().get(name).cloned()
    }

    fn numbered(&self, number: FileNumber) -> Option<Arc<RestoreFile>> {
        self.0.lock().values().find(|file| file.number == number).cloned()
    }

    pub(super) fn names(&self) -> Vec<(String, Arc<RestoreFile>)> {
        self.0.lock().iter().map(|(name, file)| (name.clone(), Arc::clone(file))).collect()
    }

    pub(super) fn closed(&self, file: &Arc<RestoreFile>) {
        let mut blob = file.blob.lock();
        blob.open = blob.open.saturating_sub(1);
        if blob.open == 0 {
            self.0.lock().retain(|_, open| !Arc::ptr_eq(open, file));
        }
    }
}

/// A blob on its way back.
pub(super) struct RestoreFile {
    pub(super) number: FileNumber,
    blob: Mutex<Blob>,
}

#[derive(Default)]
struct Blob {
    bytes: SecretBuffer,
    untried: bool,
    abandoned: bool,
    open: usize,
}

impl RestoreFile {
    pub(super) fn len(&self) -> u64 {
        self.blob.lock().bytes.len() as u64
    }

    pub(super) fn range<T>(&self, of: impl FnOnce(&[u8]) -> T) -> T {
        of(self.blob.lock().bytes.expose())
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8], append: bool) -> Result<(), FsError> {
        let mut blob = self.blob.lock();
        let offset = if append { blob.bytes.len() } else { usize::try_from(offset).unwrap_or(usize::MAX) };
        if offset.saturating_add(bytes.len()) > BLOB_MAX {
            return Err(too_large());
        }
        blob.untried = true;
        blob.bytes.write_at(offset, bytes).map_err(|_| no_memory())
    }

    pub(super) fn resize(&self, size: u64, only_grow: bool) -> Result<(), FsError> {
        let size = usize::try_from(size).ok().filter(|size| *size <= BLOB_MAX).ok_or_else(too_large)?;
        let mut blob = self.blob.lock();
        if only_grow && size <= blob.bytes.len() {
            return Ok(());
        }
        blob.bytes.resize(size).map_err(|_| no_memory())
    }

    pub(super) fn abandon(&self) {
        self.blob.lock().abandoned = true;
    }

    /// Whether there are bytes that no restore has been tried with.
    pub(super) fn is_untried(&self) -> bool {
        let blob = self.blob.lock();
        blob.untried && !blob.abandoned
    }

    fn take(&self) -> SecretBytes {
        let mut blob = self.blob.lock();
        blob.untried = false;
        blob.bytes.to_bytes()
    }
}

fn too_large() -> FsError {
    FsError::TooLarge("no backup of a secret is that large: is this another file?".into())
}

impl<V: Vault> Fs<V> {
    /// All versions in one blob: a new backup, or the one of a moment ago. All who ask at once share one.
    pub(super) async fn backup(&self, name: &SecretName) -> Result<Arc<SecretBytes>, FsError> {
        let ttl = self.settings.ttl;
        let made = self.work.blobs.known(name, ttl).unwrap_or_else(|| self.work.blobs.begin(name));
        let blob = made.blob.get_or_try_init(async || {
            let blob = self.vault.backup(name).await?;
            blob.map(Arc::new).ok_or(FsError::NotFound)
        });
        let blob = blob.await.map(Arc::clone);
        self.work.blobs.sweep(ttl);
        blob
    }

    /// What `stat` shows of a backup. Its size takes making it.
    pub(super) async fn stat_backup(self: &Arc<Self>, name: &SecretName) -> Result<Shown, FsError> {
        let node = Node::Backup(name.clone());
        if self.work.blobs.known(name, self.settings.ttl).is_none() {
            if self.settings.lazy_sizes {
                return Ok(self.shown(&node, &self.for_lookup(&node).await?));
            }
            self.size_was_missing(&node);
        }
        let size = match self.backup(name).await {
            Ok(blob) => blob.len() as u64,
            Err(error) if error.is_definite() => 0, // refused: there is nothing to read
            Err(error) => return Err(error),
        };
        let item = self.vault.known_item(name).and_then(|known| known.answer);
        let mounted_at = self.settings.mounted_at;
        let times = item.map_or((mounted_at, mounted_at), |item| times(&item.properties));
        Ok(self.plain(&node, times, size))
    }

    /// Opens a new file in `backups/`; its place and its handle.
    pub(super) fn open_restore(&self, name: &str, caller: &Caller) -> (Node, u64) {
        let number = self.work.number();
        let file = Arc::new(RestoreFile { number, blob: Mutex::new(Blob { open: 1, ..Blob::default() }) });
        self.work.restores.0.lock().insert(name.to_owned(), Arc::clone(&file));
        let handle = self.work.writers.0.open(Writer::new(Target::Restore(file), caller.process));
        (Node::Restoring(number), handle)
    }

    /// Opens it once more, while it is still open.
    pub(super) fn reopen_restore(&self, number: FileNumber, caller: &Caller) -> Result<u64, FsError> {
        let file = self.work.restores.numbered(number).ok_or(FsError::NotFound)?;
        file.blob.lock().open += 1;
        Ok(self.work.writers.0.open(Writer::new(Target::Restore(file), caller.process)))
    }

    /// The blob is complete: the secret comes back, under the name inside it.
    pub(super) async fn restore(self: &Arc<Self>, file: &RestoreFile) -> Result<(), FsError> {
        let blob = file.take();
        let fs = Arc::clone(self);
        let restored = self.on_the_wire(async move { fs.vault.restore(&blob).await }).await.map_err(restore_error)?;
        self.work.deleted.back_again(&restored.name);
        let name = restored.name.clone();
        self.made_elsewhere(&name); // it comes with its own past, whatever was to be new here
        self.settle(&name, Way::Recovering(Arc::new(restored))).await;
        Ok(())
    }
}

fn restore_error(error: VaultError) -> FsError {
    match error.kind {
        VaultErrorKind::Conflict | VaultErrorKind::Taken => FsError::Exists(
            "the vault has a secret of the name in this backup, live or deleted, and restores over none: delete and \
             purge it first; after a purge a name is free only some 20 s later"
                .into(),
        ),
        VaultErrorKind::Rejected(400) => {
            FsError::Invalid("this is no backup of a secret, or one of a vault of another geography".into())
        }
        _ => error.into(),
    }
}
