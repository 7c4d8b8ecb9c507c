//! Exact sizes without a storm.
//!
//! A listing has no values, so it fetches none: the kernel asks for attributes with every listing,
//! for a plain `ls` as well. Only a second `stat` after a listing tells that somebody wants them all;
//! then the rest is fetched in parallel, while `ls -l` still goes from one to the next.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Fs, FsError};
use crate::tree::Node;
use crate::vault::Vault;

/// Requests under way at once.
const PARALLEL: usize = 16;
/// Directories whose last listing is remembered.
const DIRECTORIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// A `stat` that comes later than this has nothing to do with the listing.
const WINDOW: Duration = Duration::from_secs(10);

/// How many sizes were missed in a directory since it was listed, and when that was.
pub(super) struct Sizes(Mutex<LruCache<Node, (Instant, u32)>>);

impl Default for Sizes {
    fn default() -> Self {
        Sizes(Mutex::new(LruCache::new(DIRECTORIES)))
    }
}

impl Sizes {
    pub(super) fn listed(&self, directory: &Node) {
        self.0.lock().put(directory.clone(), (Instant::now(), 0));
    }

    /// Notes a miss, and gives how many there have been since the listing: 0 where that was too long ago.
    pub(super) fn missed(&self, directory: &Node) -> u32 {
        let mut directories = self.0.lock();
        let Some((listed, misses)) = directories.get_mut(directory) else {
            return 0;
        };
        *misses += 1;
        if listed.elapsed() < WINDOW { *misses } else { 0 }
    }
}

impl<V: Vault> Fs<V> {
    /// A `stat` has to fetch a value, or have a backup made.
    pub(super) fn size_was_missing(self: &Arc<Self>, node: &Node) {
        let directory = node.parent();
        if self.sizes.missed(&directory) == 2 {
            let fs = Arc::clone(self);
            tokio::spawn(async move { fs.fetch_sizes(&directory).await });
        }
    }

    /// Fetches what a directory's files hold, until the vault has trouble: what fails is asked for,
    /// and reported, when its own turn comes.
    async fn fetch_sizes(&self, directory: &Node) -> Result<(), FsError> {
        let pages = match directory {
            Node::Values | Node::Backups => self.vault.secrets(),
            Node::Secret(name) => self.vault.versions(name),
            Node::Root | Node::Secrets => return Ok(()),
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => return Ok(()),
            Node::Deleted | Node::DeletedSecret(_) | Node::DeletedProperties(_) => return Ok(()),
            Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => return Ok(()),
        };
        pages
            .map_err(FsError::from)
            .map_ok(|page| futures_util::stream::iter(page.to_vec()).map(Ok))
            .try_flatten()
            .try_filter(|item| std::future::ready(item.properties.enabled))
            .try_for_each_concurrent(PARALLEL, |item| async move {
                let fetched = match directory {
                    Node::Backups => self.backup(&item.name).await.map(drop),
                    _ => self.vault.get(&item.name, item.version).await.map(drop).map_err(FsError::from),
                };
                match fetched {
                    Err(error) if !error.is_definite() => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                }
            })
            .await
    }
}
