//! What is under way with each secret: the state that is this mount's alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Fs;
use super::backups::{Blobs, Restores};
use super::brake::Brake;
use super::caller::Process;
use super::deleted::DeletedOnes;
use super::handles::Handles;
use super::refusals::Refusals;
use super::scratch::{self, ScratchFile};
use super::settling::Settling;
use super::writing::Writer;
use crate::tree::FileNumber;
use crate::vault::{Changes, SecretName, Vault};

/// `current` that has been renamed away is back after this.
const RENAMED_FOR: Duration = Duration::from_secs(60);
/// Processes that are remembered for having just made something.
const AUTHORS: usize = 8;
const AUTHORS_FOR: Duration = Duration::from_secs(60);
/// How often desks are cleared of what is over.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Everything that is under way.
#[derive(Default)]
pub(super) struct Work {
    pub(super) desks: Mutex<HashMap<SecretName, Desk>>,
    pub(super) writers: Writers,
    pub(super) locks: Locks,
    pub(super) settling: Settling,
    pub(super) deleted: DeletedOnes,
    pub(super) blobs: Blobs,
    pub(super) restores: Restores,
    pub(super) refusals: Refusals,
    pub(super) brake: Brake,
    pub(super) in_flight: InFlight,
    numbers: AtomicU64,
    housekeeping: AtomicBool,
}

impl Work {
    pub(super) fn number(&self) -> FileNumber {
        FileNumber(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Looks at a secret's desk, or puts something on it.
    pub(super) fn desk<T>(&self, name: &SecretName, work: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desks = self.desks.lock();
        let desk = desks.entry(name.clone()).or_default();
        desk.clear_old();
        let result = work(desk);
        if desk.is_clear() {
            desks.remove(name);
        }
        result
    }
}

impl<V: Vault> Fs<V> {
    /// Sees to it that what is left lying is cleared away in time, also when nobody looks.
    pub(super) fn keep_house(self: &Arc<Self>) {
        if self.work.housekeeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let fs = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING).await;
                let Some(fs) = fs.upgrade() else { return };
                let mut desks = fs.work.desks.lock();
                desks.values_mut().for_each(Desk::clear_old);
                desks.retain(|_, desk| !desk.is_clear());
                if desks.is_empty() {
                    return fs.work.housekeeping.store(false, Ordering::Relaxed);
                }
            }
        });
    }
}

/// What is under way with one secret.
#[derive(Default)]
pub(super) struct Desk {
    /// The directory has been made, and the vault knows nothing of it yet.
    pub(super) pending: Option<Pending>,
    /// `current` is away.
    pub(super) hidden: Option<Hidden>,
    /// By name.
    pub(super) scratch: BTreeMap<String, Arc<ScratchFile>>,
    /// Properties that go with the next set.
    pub(super) joined: Changes,
    /// Files that are open for writing `current`.
    pub(super) writers: Vec<Arc<Writer>>,
    /// Who has lately made or written something here.
    authors: Vec<(Process, Instant)>,
}

/// A secret that is to be.
#[derive(Clone)]
pub(super) struct Pending {
    /// As it was typed.
    pub(super) name: SecretName,
    /// Unix seconds.
    pub(super) made_at: i64,
    since: Instant,
}

impl Pending {
    pub(super) fn new(name: SecretName, made_at: i64) -> Pending {
        Pending { name, made_at, since: Instant::now() }
    }
}

/// Why `current` is away.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Hidden {
    /// It has been unlinked: the secret is deleted soon, unless it is written again. The moment tells one
    /// unlink from another.
    Unlinked(Instant),
    /// It has been renamed to a scratch name.
    Renamed(Instant),
}

impl Desk {
    fn clear_old(&mut self) {
        self.scratch.retain(|_, file| !file.is_over());
        self.authors.retain(|(_, at)| at.elapsed() < AUTHORS_FOR);
        if matches!(self.hidden, Some(Hidden::Renamed(since)) if since.elapsed() >= RENAMED_FOR) {
            self.hidden = None;
        }
        let idle = self.writers.is_empty() && self.scratch.is_empty();
        if self.pending.as_ref().is_some_and(|pending| idle && pending.since.elapsed() >= scratch::LIFETIME) {
            self.pending = None;
            self.joined = Changes::default();
        }
    }

    fn is_clear(&self) -> bool {
        let nothing = self.pending.is_none() && self.hidden.is_none() && self.joined == Changes::default();
        nothing && self.scratch.is_empty() && self.writers.is_empty() && self.authors.is_empty()
    }

    /// The scratch file of this number, if it still has a name.
    pub(super) fn scratch_file(&self, number: FileNumber) -> Option<Arc<ScratchFile>> {
        self.scratch.values().find(|file| file.number == number).cloned()
    }

    /// Whether `current` can be seen.
    pub(super) fn shows_current(&self) -> bool {
        self.hidden.is_none() && (self.pending.is_none() || !self.writers.is_empty())
    }

    /// Whether it has been unlinked, and waits for the deletion.
    pub(super) fn is_unlinked(&self) -> bool {
        matches!(self.hidden, Some(Hidden::Unlinked(_)))
    }

    /// Whether something has been written that no commit has taken up.
    pub(super) fn is_unsaved(&self) -> bool {
        self.pending.is_some() || self.writers.iter().any(|writer| writer.is_unsaved())
    }

    pub(super) fn signed_by(&mut self, process: Process) {
        self.authors.retain(|(author, _)| *author != process);
        self.authors.push((process, Instant::now()));
        if self.authors.len() > AUTHORS {
            self.authors.remove(0);
        }
    }

    pub(super) fn is_author(&self, process: Process) -> bool {
        self.authors.iter().any(|(author, _)| *author == process)
    }
}

/// Files that are open for writing. Their numbers are never those of files open for reading.
pub(super) struct Writers(pub(super) Handles<Writer>);

const FIRST_WRITER: u64 = 1 << 63;

impl Default for Writers {
    fn default() -> Self {
        Writers(Handles::from(FIRST_WRITER))
    }
}

/// Whether a handle's number is that of a file that was opened through the writing side.
pub fn is_writer(handle: u64) -> bool {
    handle >= FIRST_WRITER
}

/// One change of a secret at a time.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<SecretName, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// The secret's own lock.
    pub(super) fn of(&self, name: &SecretName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock();
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(name.clone()).or_default())
    }
}

/// Counts changes that have not ended yet.
#[derive(Default)]
pub(super) struct InFlight(Arc<tokio::sync::watch::Sender<usize>>);

impl InFlight {
    /// One change more, until the guard is dropped.
    pub(super) fn one(&self) -> Flying {
        self.0.send_modify(|count| *count += 1);
        Flying(Arc::clone(&self.0))
    }

    /// Waits until there is none.
    pub(super) async fn none(&self) {
        // Fails only when the sender is gone, which self holds.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

pub(super) struct Flying(Arc<tokio::sync::watch::Sender<usize>>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
