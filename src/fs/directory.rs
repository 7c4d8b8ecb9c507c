//! Open directories.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::Instant;

use super::facts::{FOREVER, item_facts};
use super::keeping::{KEPT, Keeping};
use super::overlay::Overlay;
use super::{Answer, Fs, FsError, Shown};
use crate::tree::Node;
use crate::vault::{Item, Known, Page, Pages, Vault, VaultError};

/// A directory that somebody is reading. It keeps the listing it started with, so that an offset
/// means the same entry in every call.
pub(super) struct Directory {
    node: Node,
    keeping: Keeping,
    /// `None` before the first read.
    feed: Arc<Mutex<Option<Feed>>>,
}

/// The part of the listing that has been asked for.
#[derive(Default)]
struct Feed {
    /// What is under way here, over what the vault lists.
    overlay: Overlay,
    pages: Vec<Page>,
    rest: Option<Pages>,
    error: Option<VaultError>,
}

/// One entry of a directory.
pub struct Entry {
    /// What READDIRPLUS tells of it. The size is unknown until the value has been fetched, so the
    /// attributes may have no lease.
    pub shown: Shown,
    /// The offset at which to go on after it.
    pub next: u64,
    node: Node,
    /// For `.` and `..`, which are not what the place is called elsewhere.
    dots: Option<&'static str>,
    /// For files whose name is not part of them.
    named: Option<String>,
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> Cow<'_, str> {
        let named = self.dots.or(self.named.as_deref());
        named.map_or_else(|| self.node.name(), Cow::Borrowed)
    }
}

/// A directory that has just been opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenedDirectory {
    /// What it is read and closed by.
    pub handle: u64,
    /// What the kernel is to do with its entries.
    pub keeping: Keeping,
}

/// The entries of an open directory from a place on, each made when it is taken: those that are there,
/// and at least one unless it is the end.
pub struct Entries<V> {
    fs: Arc<Fs<V>>,
    directory: Arc<Directory>,
    feed: OwnedMappedMutexGuard<Option<Feed>, Feed>,
    at: Position,
    lease: Lease,
    first: Option<Entry>,
    began: Instant,
    /// When the first of those that were taken counts no more.
    until: Instant,
}

/// For how long the entries of a page count. That is the same for all, so it is found out once.
#[derive(Default)]
struct Lease(Option<(Page, Duration)>);

impl Lease {
    fn of(&mut self, vault: &impl Vault, page: &Page, item: &Item) -> Duration {
        if let Some((known, fresh_for)) = &self.0
            && Arc::ptr_eq(known, page)
        {
            return *fresh_for;
        }
        let Some(known) = vault.known_item(&item.name) else { return Duration::ZERO };
        // The directory may be read from an older listing than the one that counts.
        if known.answer.is_some_and(|listed| listed.is_in(page)) {
            self.0 = Some((Arc::clone(page), known.fresh_for));
        }
        known.fresh_for
    }
}

/// Where a READDIR goes on: offsets are opaque to the kernel, save that 0 is the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Position {
    /// Among `.`, `..` and the entries that are there whatever the vault holds.
    Fixed(usize),
    /// In the listing: page, and place in it. What is under way here is the first page.
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
    pub fn opendir(&self, inode: u64) -> Result<OpenedDirectory, FsError> {
        let node = self.node(inode).ok_or(FsError::NotFound)?;
        // What this mount changes shows at once, so that the kernel has to ask.
        let is_listing = KEPT.contains(&node) && !self.settings.writing.writable;
        let listing = if is_listing { self.vault.known_listing() } else { None };
        let keeping = self.tellings.opened(&node, listing);
        if keeping == Keeping::Kept {
            self.sizes.listed(&node);
        }
        let handle = self.directories.open(Directory { node, keeping, feed: Arc::default() });
        Ok(OpenedDirectory { handle, keeping })
    }

    /// Closes a directory (RELEASEDIR).
    pub fn releasedir(&self, handle: u64) {
        self.directories.close(handle);
    }

    /// Entries from an offset on (READDIR, READDIRPLUS). Waits for one page at most.
    pub fn readdir(self: &Arc<Self>, handle: u64, offset: u64) -> Answer<Entries<V>> {
        let Some(directory) = self.directories.get(handle) else {
            return Answer::Now(Err(FsError::BadHandle));
        };
        let fs = Arc::clone(self);
        Answer::of(async move {
            let mut feed = Arc::clone(&directory.feed).lock_owned().await;
            if offset == 0 {
                *feed = None; // rewinddir(3)
                fs.sizes.listed(&directory.node);
            }
            let started = || fs.feed(&directory.node);
            let feed = OwnedMutexGuard::map(feed, |feed| feed.get_or_insert_with(started));
            let (at, lease, began) = (Position::of(offset), Lease::default(), Instant::now());
            let mut entries = Entries { fs, directory, feed, at, lease, first: None, began, until: began + FOREVER };
            while entries.first.is_none() && entries.wait().await? {}
            Ok(entries)
        })
    }

    /// An entry of a READDIRPLUS has reached the kernel, which counts it as a lookup.
    pub fn told(&self, entry: &Entry) {
        if entry.dots.is_none() {
            let attributes = &entry.shown.attributes;
            self.inodes.lock().remember(&entry.node, attributes.inode, attributes.size);
        }
    }

    fn feed(self: &Arc<Self>, node: &Node) -> Feed {
        let overlay = self.overlay(node);
        let rest = match node {
            _ if overlay.alone => None,
            Node::Secrets | Node::Values | Node::Backups => Some(self.vault.secrets()),
            Node::Secret(name) => Some(self.vault.versions(name)),
            Node::Deleted => Some(self.deleted_pages()),
            Node::Root | Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => None,
            Node::DeletedSecret(_) | Node::DeletedProperties(_) => None,
            Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => None,
        };
        Feed { overlay, rest, ..Feed::default() }
    }

    fn fixed_entry(&self, directory: &Node, place: usize) -> Option<Entry> {
        let next = Position::Fixed(place + 1);
        match place {
            0 => Some(self.entry(directory.clone(), Some("."), next)),
            1 => Some(self.entry(directory.parent(), Some(".."), next)),
            _ => Some(self.entry(directory.fixed_children().into_iter().nth(place - 2)?, None, next)),
        }
    }

    /// An entry of which nothing but the name need be known.
    fn entry(&self, node: Node, dots: Option<&'static str>, next: Position) -> Entry {
        let facts = self.known_or_unknown(&node);
        Entry { shown: self.shown(&node, &facts), next: next.offset(), node, dots, named: None }
    }

    /// A listing's item as an entry; none if this directory does not show it.
    fn listed_entry(
        &self,
        directory: &Node,
        item: &Item,
        lease: impl FnOnce() -> Duration,
        next: Position,
    ) -> Option<Entry> {
        let node = match directory {
            Node::Secrets => Node::Secret(item.name.clone()),
            Node::Values if item.properties.enabled => Node::Value(item.name.clone()),
            Node::Secret(name) => Node::Version(name.clone(), item.version?),
            Node::Deleted => Node::DeletedSecret(item.name.clone()),
            Node::Backups => Node::Backup(item.name.clone()),
            Node::Values => return None,
            Node::Root | Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => return None,
            Node::DeletedSecret(_) | Node::DeletedProperties(_) => return None,
            Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => return None,
        };
        let facts = match self.known_by_value(&node) {
            Some(Ok(facts)) => facts,
            _ => item_facts(&node, item, lease()),
        };
        Some(Entry { shown: self.shown(&node, &facts), next: next.offset(), node, dots: None, named: None })
    }
}

impl<V: Vault> Entries<V> {
    /// With these the kernel has all entries of a directory that it keeps, and for how long that may be, though
    /// it asks no more: whoever has the directory open may read it again and again.
    pub fn kept_for(&self) -> Option<Duration> {
        if self.first.is_some() || self.directory.keeping == Keeping::Nothing {
            return None;
        }
        let is_read =
            |listing: &Known<Page>| self.feed.pages.first().is_some_and(|read| Arc::ptr_eq(read, &listing.answer));
        let listing = self.fs.vault.known_listing().filter(is_read);
        Some(listing.map_or(Duration::ZERO, |listing| listing.fresh_for))
    }

    /// The next entry that is there without waiting.
    fn take(&mut self) -> Option<Entry> {
        let entry = self.find()?;
        if entry.dots.is_none() {
            let counts_for = entry.shown.name_for.min(entry.shown.attributes_for);
            self.until = self.until.min(self.began + counts_for);
        }
        Some(entry)
    }

    /// Looks for the first entry, and waits for a page if there is none without. False at the end.
    async fn wait(&mut self) -> Result<bool, FsError> {
        self.first = self.take();
        if self.first.is_some() { Ok(true) } else { self.feed.wait().await }
    }

    fn find(&mut self) -> Option<Entry> {
        loop {
            match self.at {
                Position::Fixed(place) => match self.fs.fixed_entry(&self.directory.node, place) {
                    Some(entry) => {
                        self.at = Position::Fixed(place + 1);
                        if self.feed.overlay.shows_fixed(&entry.node) || entry.dots.is_some() {
                            return Some(entry);
                        }
                    }
                    None => self.at = Position::Listed(0, 0),
                },
                Position::Listed(0, place) => match self.feed.overlay.added.get(place) {
                    Some((name, node, shown)) => {
                        self.at = Position::Listed(0, place + 1);
                        let (shown, node, named) = (shown.clone(), node.clone(), Some(name.clone()));
                        return Some(Entry { shown, next: self.at.offset(), node, dots: None, named });
                    }
                    None => self.at = Position::Listed(1, 0),
                },
                Position::Listed(number, place) => {
                    let page = self.feed.page(number - 1).cloned()?;
                    let Some(item) = page.get(place) else {
                        self.at = Position::Listed(number + 1, 0);
                        continue;
                    };
                    self.at = Position::Listed(number, place + 1);
                    let lease = || self.lease.of(&self.fs.vault, &page, item);
                    let entry = self.fs.listed_entry(&self.directory.node, item, lease, self.at);
                    if entry.is_some() && !self.feed.overlay.claimed.contains(&item.name) {
                        return entry;
                    }
                }
            }
        }
    }
}

impl<V: Vault> Iterator for Entries<V> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.first.take().or_else(|| self.take())
    }
}

impl<V> Drop for Entries<V> {
    fn drop(&mut self) {
        if let Some(first) = self.feed.pages.first() {
            self.fs.tellings.told(&self.directory.node, first, self.until);
        }
    }
}

impl Feed {
    /// A page of the listing, if it is there.
    fn page(&mut self, at: usize) -> Option<&Page> {
        while self.pages.len() <= at {
            let next = self.rest.as_mut()?.next().now_or_never()?;
            self.add(next);
        }
        self.pages.get(at)
    }

    /// Waits for the next page. False where there is none.
    async fn wait(&mut self) -> Result<bool, FsError> {
        if let Some(rest) = &mut self.rest {
            let next = rest.next().await;
            self.add(next);
        }
        match &self.error {
            Some(error) => Err(error.clone().into()),
            None => Ok(self.rest.is_some()),
        }
    }

    fn add(&mut self, next: Option<Result<Page, VaultError>>) {
        match next {
            Some(Ok(page)) => self.pages.push(page),
            Some(Err(error)) => (self.rest, self.error) = (None, Some(error)),
            None => self.rest = None,
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
