//! `--page-cache`: the kernel may keep the bytes that it has read.
//!
//! It keeps one copy per inode, with one size, for all who have the file open, so only a file that never
//! changes may be kept: a version's. `values/NAME` is therefore another name of its newest version's file,
//! as a hard link would be, and moves to the next version as if that had been renamed over it (rename(2)).

use tokio::time::timeout;

use super::facts::LOOKUP_LIMIT;
use super::{Fs, Place, Snapshot};
use crate::tree::Node;
use crate::vault::{SecretName, Vault};

impl<V: Vault> Fs<V> {
    /// The file that a name leads to now. It takes the value to know, or else the name leads to the file
    /// that follows the secret, and that the kernel does not keep.
    pub(super) async fn file_behind(&self, node: Node) -> Node {
        let Node::Value(name) = &node else { return node };
        if !self.may_move(&node) {
            return node;
        }
        let found = match self.vault.peek(name, None) {
            Some(known) => known.answer,
            None => timeout(LOOKUP_LIMIT, self.vault.get(name, None)).await.unwrap_or(Ok(None)),
        };
        match found {
            Ok(Some(secret)) => Node::Version(name.clone(), secret.version),
            Ok(None) | Err(_) => node,
        }
    }

    /// Whether the name may lead to another file soon. Without a ttl nothing is known for long enough.
    pub(super) fn may_move(&self, node: &Node) -> bool {
        self.settings.page_cache && !self.settings.ttl.is_zero() && matches!(node, Node::Value(_))
    }

    /// Whether the bytes are the file's for good. Decoded ones go with a tag, which can be changed.
    pub(super) fn may_be_kept(&self, node: &Node, snapshot: &Snapshot) -> bool {
        self.settings.page_cache && matches!((node, snapshot), (Node::Version(..), Snapshot::Value(_)))
    }

    /// The name that leads to another file once the secret has another value.
    pub fn name_that_moves(&self, name: &SecretName) -> Option<Place> {
        let node = Node::Value(name.clone());
        let inodes = self.inodes.lock();
        self.may_move(&node).then(|| Place {
            inode: inodes.number(&node),
            parent: inodes.number(&Node::Values),
            name: node.name().into_owned(),
        })
    }
}
