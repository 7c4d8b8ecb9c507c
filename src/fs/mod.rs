//! Operations in filesystem words, over any vault.
//!
//! Owns open handles (each a snapshot, or a draft of the next version), what a directory shows, what is
//! under way with each secret, and the one errno table. Refuses to know of HTTP or of the kernel's wire
//! format: it can be driven without a kernel.

mod altering;
mod answer;
mod backups;
mod brake;
mod caller;
mod commit;
mod deleted;
mod deleting;
mod desk;
mod directory;
mod draft;
mod encoding;
mod error;
mod extended;
mod facts;
mod file;
mod handles;
mod keeping;
mod modes;
mod names;
mod overlay;
mod paging;
mod properties;
mod refreshing;
mod refusals;
mod renaming;
mod scratch;
mod settling;
mod sizes;
mod writing;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::tree::{Attributes, Inodes, Node, Ownership};
use crate::vault::{SecretName, Vault};
pub use answer::{Answer, Done};
pub use caller::{Caller, Process};
use desk::Work;
pub use desk::is_writer;
use directory::Directory;
pub use directory::{Entries, Entry, OpenedDirectory};
pub use error::{FsError, Sentence};
pub use file::{Opened, Snapshot};
use handles::Handles;
pub use keeping::Keeping;
use keeping::{KEPT, Tellings};
pub use modes::NewAttributes;
use sizes::Sizes;

/// What a mount shows that the vault does not decide.
#[derive(Clone, Debug)]
pub struct FsSettings {
    /// Owner, group and modes of everything.
    pub ownership: Ownership,
    /// Times of what has none of its own; unix seconds, UTC.
    pub mounted_at: i64,
    /// For how long what the vault has said counts.
    pub ttl: Duration,
    /// For how long a change may take.
    pub deadline: Duration,
    /// Whether nothing is fetched to know a size: what has not been opened has the size that it had last,
    /// or none.
    pub lazy_sizes: bool,
    /// Whether the kernel may keep the bytes of values.
    pub page_cache: bool,
    /// What may be changed, and how.
    pub writing: WritingSettings,
}

/// What may be changed through a mount, and how.
#[derive(Clone, Debug)]
pub struct WritingSettings {
    /// Whether anything may be.
    pub writable: bool,
    /// Whether deleted secrets may be ended for good.
    pub allow_purge: bool,
    /// Whether a new secret of a soft-deleted one's name brings that one back.
    pub recover_deleted: bool,
    /// Secrets that may be deleted within a minute.
    pub delete_limit: usize,
    /// Whether a deletion or recovery is answered only when it is true.
    pub wait_to_settle: bool,
    /// How long to wait for that.
    pub settle_timeout: Duration,
    /// More names of scratch files: patterns with `*` and `?`.
    pub scratch: Vec<String>,
    /// Whether a newline at the end of what is written is left out.
    pub strip_newline: bool,
    /// Whether bytes that are no text are kept in base64.
    pub binary: bool,
}

/// What LOOKUP and GETATTR tell the kernel.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The attributes.
    pub attributes: Attributes,
    /// For how long the attributes may be kept.
    pub attributes_for: Duration,
    /// For how long the name may be kept.
    pub name_for: Duration,
}

/// A place that the kernel knows, in its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub inode: u64,
    /// The number of the directory that it is in.
    pub parent: u64,
    /// Its name there.
    pub name: String,
}

/// The filesystem: a tree over a vault, and what is open in it.
pub struct Fs<V> {
    vault: V,
    settings: FsSettings,
    inodes: Mutex<Inodes>,
    files: Handles<Snapshot>,
    directories: Handles<Directory>,
    sizes: Sizes,
    tellings: Tellings,
    work: Work,
}

/// Unix seconds, now.
fn now_unix() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl<V: Vault> Fs<V> {
    /// A filesystem over the vault.
    pub fn new(vault: V, settings: FsSettings) -> Arc<Fs<V>> {
        Arc::new(Fs {
            vault,
            settings,
            inodes: Mutex::default(),
            files: Handles::default(),
            directories: Handles::default(),
            sizes: Sizes::default(),
            tellings: Tellings::default(),
            work: Work::default(),
        })
    }

    /// Finds a name in a directory (LOOKUP). A place that is found counts as told to the kernel.
    pub fn lookup(self: &Arc<Self>, parent: u64, name: &OsStr) -> Answer<Shown> {
        let Some(node) = self.node(parent).and_then(|parent| parent.child(name)) else {
            return Answer::Now(Err(FsError::NotFound));
        };
        let fs = Arc::clone(self);
        Answer::of(async move {
            let node = fs.file_behind(node).await;
            let shown = fs.shown(&node, &fs.for_lookup(&node).await?);
            fs.inodes.lock().remember(&node, shown.attributes.inode, shown.attributes.size);
            Ok(shown)
        })
    }

    /// What `stat` shows (GETATTR), the exact size included: the value is fetched if it must be.
    pub fn getattr(self: &Arc<Self>, inode: u64) -> Answer<Shown> {
        let Some(node) = self.node(inode) else {
            return Answer::Now(Err(FsError::NotFound));
        };
        let fs = Arc::clone(self);
        Answer::of(async move {
            let shown = fs.shown(&node, &fs.for_stat(&node).await?);
            fs.inodes.lock().tell(inode, shown.attributes.size);
            Ok(shown)
        })
    }

    /// The kernel has forgotten an inode so many times (FORGET).
    pub fn forget(&self, inode: u64, times: u64) {
        self.inodes.lock().forget(inode, times);
    }

    /// An inode's attributes with the size that the kernel was told last, and without asking the vault.
    ///
    /// # Errors
    /// An inode that the kernel was never told.
    pub fn attributes_told(&self, inode: u64) -> Result<Attributes, FsError> {
        let node = self.node(inode).ok_or(FsError::NotFound)?;
        let (_, size) = self.inodes.lock().number_and_size(&node);
        let shown = self.shown(&node, &self.known_or_unknown(&node));
        Ok(Attributes { size, ..shown.attributes })
    }

    /// Runs what tells the kernel an inode's size, in bytes, unasked.
    pub fn tell_size(&self, inode: u64, size: u64, tell: impl FnOnce()) {
        self.inodes.lock().tell(inode, size);
        tell();
        self.inodes.lock().take(inode, size);
    }

    /// Where the kernel knows a secret.
    pub fn places_of(&self, name: &SecretName) -> Vec<Place> {
        let inodes = self.inodes.lock();
        let place = |(inode, node): (u64, &Node)| Place {
            inode,
            parent: inodes.number(&node.parent()),
            name: node.name().into_owned(),
        };
        inodes.of_secret(name).map(place).collect()
    }

    /// All inodes that the kernel knows, save the root.
    pub fn known_inodes(&self) -> Vec<u64> {
        self.inodes.lock().numbers().collect()
    }

    /// The numbers of the directories whose listings the kernel may keep.
    pub fn listings(&self) -> [u64; 2] {
        let inodes = self.inodes.lock();
        KEPT.each_ref().map(|directory| inodes.number(directory))
    }

    /// The kernel knows a file to be longer by what has been written to it, since it counts along.
    fn size_grew(&self, node: &Node, end: u64) {
        let mut inodes = self.inodes.lock();
        let (inode, told) = inodes.number_and_size(node);
        inodes.tell(inode, told.max(end));
    }

    /// Where in the mount an inode is, for the log; `None` once the kernel has forgotten it.
    pub fn path(&self, inode: u64) -> Option<String> {
        self.node(inode).map(|node| node.path())
    }

    fn node(&self, inode: u64) -> Option<Node> {
        self.inodes.lock().node(inode)
    }
}

#[cfg(test)]
mod tests;
