//! Open directories.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::Mutex;

use super::facts::item_facts;
use super::{Answer, Fs, FsError, Shown};
use crate::tree::Node;
use crate::vault::{Item, Page, Pages, Vault, VaultError};

/// A kernel's buffer holds some 200 entries with attributes; more than this in a batch is wasted.
const BATCH: usize = 512;

/// A directory that somebody is reading. It keeps the listing it started with, so that an offset
/// means the same entry in every call.
pub(super) struct Directory {
    node: Node,
    /// `None` before the first read.
    feed: Mutex<Option<Feed>>,
}

/// The part of the listing that has been asked for.
#[derive(Default)]
struct Feed {
    pages: Vec<Page>,
    rest: Option<Pages>,
    error: Option<VaultError>,
}

/// One entry of a directory.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What READDIRPLUS tells of it. The size is unknown until the value has been fetched, so the
    /// attributes may have no lease.
    pub shown: Shown,
    /// The offset at which to go on after it.
    pub next: u64,
    node: Node,
}

/// Where a READDIR goes on: offsets are opaque to the kernel, save that 0 is the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Position {
    /// Among `.`, `..` and the entries that are there whatever the vault holds.
    Fixed(usize),
    /// In the listing: page, and place in it.
    Listed(usize, usize),
}

const FIXED_MAX: u64 = 16;
const PLACE_BITS: u32 = 20;

impl Position {
    fn of(offset: u64) -> Position {
        match offset.checked_sub(FIXED_MAX) {
            None => Position::Fixed(offset as usize),
            Some(listed) => {
                Position::Listed((listed >> PLACE_BITS) as usize, (listed & ((1 << PLACE_BITS) - 1)) as usize)
            }
        }
    }

    fn offset(self) -> u64 {
        match self {
            Position::Fixed(at) => at as u64,
            Position::Listed(page, place) => FIXED_MAX + ((page as u64) << PLACE_BITS) + place as u64,
        }
    }
}

impl<V: Vault> Fs<V> {
    /// Opens a directory (OPENDIR); the vault is not asked before somebody reads it.
    ///
    /// # Errors
    /// An inode that the kernel was never told.
    pub fn opendir(&self, inode: u64) -> Result<u64, FsError> {
        let node = self.node(inode).ok_or(FsError::NotFound)?;
        Ok(self.directories.open(Directory { node, feed: Mutex::default() }))
    }

    /// Closes a directory (RELEASEDIR).
    pub fn releasedir(&self, handle: u64) {
        self.directories.close(handle);
    }

    /// Entries from an offset on (READDIR, READDIRPLUS): all that are there, and at least one unless
    /// it is the end. Waits for one page at most.
    pub fn readdir(self: &Arc<Self>, handle: u64, offset: u64) -> Answer<Vec<Entry>> {
        let Some(directory) = self.directories.get(handle) else {
            return Answer::Now(Err(FsError::BadHandle));
        };
        let fs = Arc::clone(self);
        Answer::of(async move {
            let mut feed = directory.feed.lock().await;
            if offset == 0 {
                *feed = None; // rewinddir(3)
                fs.sizes.listed(&directory.node);
            }
            let feed = feed.get_or_insert_with(|| fs.feed(&directory.node));
            fs.entries(&directory.node, feed, Position::of(offset)).await
        })
    }

    /// An entry of a READDIRPLUS has reached the kernel, which counts it as a lookup.
    pub fn told(&self, entry: &Entry) {
        if !matches!(entry.name.as_str(), "." | "..") {
            self.inodes.lock().remember(&entry.node, entry.shown.attributes.size);
        }
    }

    fn feed(&self, node: &Node) -> Feed {
        let rest = match node {
            Node::Secrets | Node::Values => Some(self.vault.secrets()),
            Node::Secret(name) => Some(self.vault.versions(name)),
            Node::Root | Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => None,
        };
        Feed { rest, ..Feed::default() }
    }

    async fn entries(&self, node: &Node, feed: &mut Feed, mut at: Position) -> Result<Vec<Entry>, FsError> {
        let mut entries = Vec::new();
        while entries.len() < BATCH {
            at = match at {
                Position::Fixed(place) => match self.fixed_entry(node, place) {
                    Some(entry) => {
                        let next = Position::of(entry.next);
                        entries.push(entry);
                        next
                    }
                    None => Position::Listed(0, 0),
                },
                Position::Listed(page, place) => {
                    let Some(items) = feed.page(page, entries.is_empty()).await? else { break };
                    let Some(item) = items.get(place) else {
                        at = Position::Listed(page + 1, 0);
                        continue;
                    };
                    let next = Position::Listed(page, place + 1);
                    entries.extend(self.listed_entry(node, item, next));
                    next
                }
            };
        }
        Ok(entries)
    }

    fn fixed_entry(&self, directory: &Node, place: usize) -> Option<Entry> {
        let next = Position::Fixed(place + 1);
        match place {
            0 => Some(self.entry(directory.clone(), ".", next)),
            1 => Some(self.entry(directory.parent(), "..", next)),
            _ => {
                let child = directory.fixed_children().into_iter().nth(place - 2)?;
                let name = child.name().into_owned();
                Some(self.entry(child, &name, next))
            }
        }
    }

    /// An entry of which nothing but the name need be known.
    fn entry(&self, node: Node, name: &str, next: Position) -> Entry {
        let facts = self.known_or_unknown(&node);
        Entry { name: name.to_owned(), shown: self.shown(&node, &facts), next: next.offset(), node }
    }

    /// A listing's item as an entry; none if this directory does not show it.
    fn listed_entry(&self, directory: &Node, item: &Item, next: Position) -> Option<Entry> {
        let node = match directory {
            Node::Secrets => Node::Secret(item.name.clone()),
            Node::Values if item.properties.enabled => Node::Value(item.name.clone()),
            Node::Secret(name) => Node::Version(name.clone(), item.version?),
            Node::Values => return None,
            Node::Root | Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => return None,
        };
        let facts = match self.known_by_value(&node) {
            Some(Ok(facts)) => facts,
            _ => item_facts(&node, item, self.listing_lease(item)),
        };
        let name = node.name().into_owned();
        Some(Entry { name, shown: self.shown(&node, &facts), next: next.offset(), node })
    }

    fn listing_lease(&self, item: &Item) -> Duration {
        self.vault.known_item(&item.name).map_or(Duration::ZERO, |known| known.fresh_for)
    }
}

impl Feed {
    /// A page of the listing; `None` past the last one, and, unless it may wait, where the next one
    /// has yet to arrive.
    async fn page(&mut self, at: usize, may_wait: bool) -> Result<Option<Page>, FsError> {
        while self.pages.len() <= at && self.error.is_none() {
            let Some(rest) = self.rest.as_mut() else { return Ok(None) };
            let next = if may_wait { Some(rest.next().await) } else { rest.next().now_or_never() };
            match next {
                Some(Some(Ok(page))) => self.pages.push(page),
                Some(Some(Err(error))) => self.error = Some(error),
                Some(None) => self.rest = None,
                None => return Ok(None),
            }
        }
        match (self.pages.get(at), &self.error) {
            (None, Some(error)) if may_wait => Err(error.clone().into()),
            (page, _) => Ok(page.cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_positions_are_two_names_of_one_thing() {
        for position in [Position::Fixed(0), Position::Fixed(15), Position::Listed(0, 0), Position::Listed(4000, 25)] {
            assert_eq!(Position::of(position.offset()), position);
        }
    }
}
