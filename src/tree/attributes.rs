//! What `stat` shows of a place.

use super::Node;

/// Directory or file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
}

/// Whose files these are, and who may do what: the same for the whole mount.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    /// Owner of every file and directory.
    pub uid: u32,
    /// Group of every file and directory.
    pub gid: u32,
    /// Permission bits of files, such as 0o400.
    pub file_mode: u16,
    /// Permission bits of directories, such as 0o500.
    pub directory_mode: u16,
    /// Whether the owner may change things, where there is something to change.
    pub writable: bool,
}

impl Ownership {
    /// The kernel wants the owner's write permission for setting an extended attribute and for moving a
    /// directory; nobody else may change anything.
    fn mode(&self, node: &Node) -> u16 {
        let mode = match node.kind() {
            FileKind::Directory => self.directory_mode,
            FileKind::File => self.file_mode,
        };
        if self.writable && takes_changes(node) { mode & !0o022 | 0o200 } else { mode }
    }
}

fn takes_changes(node: &Node) -> bool {
    match node {
        Node::Root | Node::Values | Node::Value(_) => false,
        Node::Secrets | Node::Secret(_) | Node::Current(_) | Node::Version(..) | Node::Properties(_) => true,
        Node::Deleted | Node::DeletedSecret(_) | Node::DeletedProperties(_) => true,
        Node::Backups | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => true,
    }
}

/// The attributes of one place (stat(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number.
    pub inode: u64,
    /// Directory or file.
    pub kind: FileKind,
    /// Bytes; 0 where it is not known yet.
    pub size: u64,
    /// When the content last changed: the version's `created`. Unix seconds, UTC.
    pub modified: i64,
    /// When anything last changed: the version's `updated`. Unix seconds, UTC.
    pub changed: i64,
    /// Permission bits.
    pub mode: u16,
    /// Number of links. A directory that has not been counted has 1, as on btrfs.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// Attributes of a place, with its times (content, anything) and its size in bytes.
    pub fn of(node: &Node, inode: u64, ownership: &Ownership, times: (i64, i64), size: u64) -> Attributes {
        Attributes {
            inode,
            kind: node.kind(),
            size,
            modified: times.0,
            changed: times.1,
            mode: ownership.mode(node),
            links: links(node),
            uid: ownership.uid,
            gid: ownership.gid,
        }
    }
}

/// A directory has a link from its parent, one from its own `.`, and one from each subdirectory's `..`.
fn links(node: &Node) -> u32 {
    match node {
        Node::Root => 6,
        Node::Secrets | Node::Deleted => 1, // as many subdirectories as the vault has secrets: not counted
        Node::Values | Node::Secret(_) | Node::DeletedSecret(_) | Node::Backups => 2,
        Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => 1,
        Node::DeletedProperties(_) | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => 1,
    }
}
