//! Open files: each one a snapshot.

use std::sync::Arc;

use futures_util::FutureExt;

use super::properties::rendered;
use super::{Answer, Fs, FsError, deleted, encoding};
use crate::tree::Node;
use crate::vault::{Found, Secret, SecretBytes, SecretName, Vault, VersionId};

/// What an open file reads, unchanged for as long as it is open.
pub enum Snapshot {
    /// One version's value.
    Value(Arc<Secret>),
    /// Other secret bytes: a value decoded, a backup.
    Bytes(Arc<SecretBytes>),
    /// Text that holds no value.
    Text(String),
}

impl Snapshot {
    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Snapshot::Value(secret) => secret.value.len() as u64,
            Snapshot::Bytes(bytes) => bytes.len() as u64,
            Snapshot::Text(text) => text.len() as u64,
        }
    }

    /// The bytes from an offset on, at most `size` of them, fewer at the end: what READ answers. With
    /// the value's bytes in it, so it goes to the kernel and nowhere else.
    pub fn expose_range(&self, offset: u64, size: usize) -> &[u8] {
        let bytes = match self {
            Snapshot::Value(secret) => secret.value.expose(),
            Snapshot::Bytes(bytes) => bytes.expose(),
            Snapshot::Text(text) => text.as_bytes(),
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        rest.get(..size).unwrap_or(rest)
    }
}

/// A file that has been opened.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The handle's number.
    pub handle: u64,
    /// The file's size in bytes.
    pub size: u64,
    /// Whether the kernel is sure to have that size. It has to know before the handle is used: splice(2),
    /// sendfile(2) and mappings stop at the size that it knows.
    pub taken: bool,
    /// Whether the kernel may keep the bytes, past this handle's end.
    pub keep: bool,
}

impl<V: Vault> Fs<V> {
    /// Opens a file for reading (OPEN).
    pub fn open(self: &Arc<Self>, inode: u64, flags: i32) -> Answer<Opened> {
        let (node, told) = {
            let inodes = self.inodes.lock();
            (inodes.node(inode), inodes.size_taken(inode))
        };
        let Some(node) = node else {
            return Answer::Now(Err(FsError::NotFound));
        };
        if flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0 {
            return Answer::Now(Err(FsError::ReadOnly));
        }
        if let Some((name, _)) = node.value()
            && let Err(busy) = self.work.settling.check(name)
        {
            return Answer::Now(Err(busy));
        }
        // The hot path: a fresh value is answered here, on the kernel's thread.
        let past_the_cache = flags & libc::O_DIRECT != 0;
        if let Some((name, version)) = node.value()
            && !past_the_cache
            && let Some(known) = self.vault.known(name, version)
        {
            return Answer::Now(self.opened(&node, known.answer, told));
        }
        let fs = Arc::clone(self);
        let waits_for_a_value = node.value().is_some();
        let opened = async move { fs.open_uncached(&node, told, past_the_cache).await };
        // A get that is begun by the task that waits for it wakes no other thread.
        if waits_for_a_value { Answer::Later(opened.boxed()) } else { Answer::of(opened) }
    }

    async fn open_uncached(&self, node: &Node, told: Option<u64>, past_the_cache: bool) -> Result<Opened, FsError> {
        match node {
            Node::Current(name) | Node::Value(name) => {
                self.opened(node, self.get(name, None, past_the_cache).await, told)
            }
            Node::Version(name, version) => {
                self.opened(node, self.get(name, Some(*version), past_the_cache).await, told)
            }
            Node::Properties(name) => {
                let description = self.describe(name, None).await?.ok_or(FsError::NotFound)?;
                Ok(self.handed_out(Snapshot::Text(rendered(description.properties())), told))
            }
            Node::DeletedProperties(name) => {
                let deleted = self.deleted(name).await?.ok_or(FsError::NotFound)?;
                Ok(self.handed_out(Snapshot::Text(deleted::rendered(&deleted)), told))
            }
            Node::Backup(name) => Ok(self.handed_out(Snapshot::Bytes(self.backup(name).await?), told)),
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) => Err(FsError::IsADirectory),
            Node::Deleted | Node::DeletedSecret(_) | Node::Backups => Err(FsError::IsADirectory),
            Node::Scratch(..) | Node::Restoring(_) => Err(FsError::NotFound), // opened by the writing side
        }
    }

    async fn get(&self, name: &SecretName, version: Option<VersionId>, past_the_cache: bool) -> Found {
        match past_the_cache {
            true => self.vault.get_now(name, version).await,
            false => self.vault.get(name, version).await,
        }
    }

    fn opened(&self, node: &Node, found: Found, told: Option<u64>) -> Result<Opened, FsError> {
        let secret = found?.ok_or(FsError::NotFound)?;
        let snapshot = match encoding::decoded(&secret) {
            Some(bytes) => Snapshot::Bytes(bytes),
            None => Snapshot::Value(secret),
        };
        let keep = self.may_be_kept(node, &snapshot);
        Ok(Opened { keep, ..self.handed_out(snapshot, told) })
    }

    fn handed_out(&self, snapshot: Snapshot, told: Option<u64>) -> Opened {
        let size = snapshot.len();
        Opened { handle: self.files.open(snapshot), size, taken: told == Some(size), keep: false }
    }

    /// The snapshot behind a handle, for READ.
    ///
    /// # Errors
    /// A handle that is not open.
    pub fn snapshot(&self, handle: u64) -> Result<Arc<Snapshot>, FsError> {
        self.files.get(handle).ok_or(FsError::BadHandle)
    }

    /// Closes a handle (RELEASE).
    pub fn release(&self, handle: u64) {
        self.files.close(handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_the_text_does() {
        let text = Snapshot::Text("abcdef".to_owned());
        for (offset, size, expected) in [(0, 3, "abc"), (4, 9, "ef"), (6, 1, ""), (u64::MAX, 1, ""), (2, 0, "")] {
            assert_eq!(text.expose_range(offset, size), expected.as_bytes(), "{offset} {size}");
        }
    }
}
