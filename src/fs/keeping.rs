//! Listings that the kernel keeps, so that it lists a directory without asking.
//!
//! It may as long as the listing is the one that counts, and as long as everything counts that it was told
//! of the entries with it: of what does not, it would ask for one after the other, where a listing tells
//! it all at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tree::Node;
use crate::vault::{Known, Page};

/// The directories that show the listing of secrets and nothing else.
pub(super) const KEPT: [Node; 2] = [Node::Secrets, Node::Values];

/// What becomes of a directory's entries that the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It drops what it has, and keeps none.
    Nothing,
    /// It drops what it has, and keeps what it is told.
    Anew,
    /// It goes on with what it has.
    Kept,
}

/// What the kernel was told of directories, by their places.
#[derive(Default)]
pub(super) struct Tellings(Mutex<HashMap<Node, Telling>>);

/// What was told since the kernel last dropped what it had.
struct Telling {
    /// The first page of the listing, which is no other listing's.
    first: Page,
    /// When the first of the leases ends.
    until: Instant,
    is_kept: bool,
}

impl Tellings {
    /// A directory is opened that shows this listing now, as far as one is known and fresh. What is read once
    /// is not kept.
    pub(super) fn opened(&self, directory: &Node, listing: Option<Known<Page>>) -> Keeping {
        let mut tellings = self.0.lock();
        let Some(Known { answer: first, fresh_for }) = listing else {
            tellings.remove(directory);
            return Keeping::Nothing;
        };
        let now = Instant::now();
        match tellings.get_mut(directory) {
            Some(told) if told.until > now && Arc::ptr_eq(&told.first, &first) => {
                if std::mem::replace(&mut told.is_kept, true) { Keeping::Kept } else { Keeping::Anew }
            }
            Some(_) | None => {
                tellings.insert(directory.clone(), Telling { first, until: now + fresh_for, is_kept: false });
                Keeping::Nothing
            }
        }
    }

    /// Entries of a listing were told, which count until then. Who still reads another one spoils it: the kernel
    /// does not tell one reader's entries from another's.
    pub(super) fn told(&self, directory: &Node, first: &Page, until: Instant) {
        if let Some(told) = self.0.lock().get_mut(directory) {
            told.until = if Arc::ptr_eq(first, &told.first) { told.until.min(until) } else { Instant::now() };
        }
    }
}
