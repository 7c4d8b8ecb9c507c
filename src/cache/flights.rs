//! Single flight: at most one get per secret and version is under way, and everybody who asks shares it.
//! A change of the secret outdates the gets that were sent before it ended: nobody joins them any more,
//! and what they bring is not remembered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Key;
use crate::vault::{Found, SecretName, VaultError, VaultErrorKind};

/// An answer on its way, for as many as wait.
pub(super) type Flight = Shared<BoxFuture<'static, Found>>;

/// The gets under way, and the changes.
#[derive(Default)]
pub(super) struct Flights(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// What can be joined.
    open: HashMap<Key, (u64, Flight)>,
    /// All gets that have been sent and not been answered.
    sent: HashMap<u64, (SecretName, Arc<AtomicBool>)>,
    changes: HashMap<SecretName, Changing>,
    last: u64,
}

#[derive(Default)]
struct Changing {
    under_way: u32,
    /// Something else was told of the secret meanwhile, so nobody knows which is the newer.
    disputed: bool,
}

/// What came of asking to board.
pub(super) enum Boarding {
    /// There is no need to: the answer is known.
    Known(Found),
    /// Somebody has asked already.
    Passenger(Flight),
    /// Nobody has: the pilot is to be flown, in a task of its own.
    First(Flight, Pilot),
}

impl Flights {
    /// Joins the get under way, or answers from what `known` says, or begins one. The request goes on
    /// when a caller gives up, since others may wait for it and its answer is worth keeping.
    pub(super) fn board(&self, key: &Key, known: impl FnOnce() -> Option<Found>) -> Boarding {
        let mut table = self.0.lock();
        if let Some((_, flight)) = table.open.get(key) {
            return Boarding::Passenger(flight.clone());
        }
        // A flight that has just landed has left its answer before it left this table.
        if let Some(known) = known() {
            return Boarding::Known(known);
        }
        let (answer, flight) = promise();
        let sent = self.send(&mut table, &key.0);
        table.open.insert(key.clone(), (sent.number, flight.clone()));
        Boarding::First(flight, Pilot { answer: Some(answer), key: key.clone(), sent })
    }

    /// A get that nobody can join is about to be sent.
    pub(super) fn alone(&self, name: &SecretName) -> Sent {
        self.send(&mut self.0.lock(), name)
    }

    fn send(&self, table: &mut Table, name: &SecretName) -> Sent {
        table.last += 1;
        let outdated = Arc::<AtomicBool>::default();
        table.sent.insert(table.last, (name.clone(), Arc::clone(&outdated)));
        Sent { number: table.last, outdated, table: Arc::clone(&self.0) }
    }

    /// A change of the secret is about to be sent.
    pub(super) fn change_begins(&self, name: &SecretName) {
        let mut table = self.0.lock();
        let changing = table.changes.entry(name.clone()).or_default();
        changing.under_way += 1;
        changing.disputed |= changing.under_way > 1;
    }

    /// It has ended: gets of the secret that are under way are outdated. False if its answer may not be
    /// the last word, since others asked or changed the secret meanwhile.
    pub(super) fn change_ends(&self, name: &SecretName) -> bool {
        let mut table = self.0.lock();
        let alone = !table.outdate(|of| of == name);
        let Some(changing) = table.changes.get_mut(name) else { return alone };
        let undisputed = alone && !changing.disputed;
        changing.under_way -= 1;
        if changing.under_way == 0 {
            table.changes.remove(name);
        }
        undisputed
    }

    /// Outdates the gets of one secret.
    pub(super) fn outdate(&self, name: &SecretName) {
        self.0.lock().outdate(|of| of == name);
    }

    /// Outdates all gets.
    pub(super) fn outdate_all(&self) {
        self.0.lock().outdate(|_| true);
    }
}

impl Table {
    /// Whether any get was affected.
    fn outdate(&mut self, is_affected: impl Fn(&SecretName) -> bool) -> bool {
        self.open.retain(|(name, _), _| !is_affected(name));
        let affected = self.sent.values().filter(|(name, _)| is_affected(name));
        affected.map(|(_, outdated)| outdated.store(true, Ordering::SeqCst)).count() > 0
    }
}

/// An answer to be given later. Who waits when it is dropped unanswered is told of an error of ours.
pub(super) fn promise() -> (oneshot::Sender<Found>, Flight) {
    let (answer, waiting) = oneshot::channel();
    let flight = async { waiting.await.unwrap_or_else(|_| Err(VaultError::of(VaultErrorKind::Aborted))) };
    (answer, flight.boxed().shared())
}

/// A get that has been sent. However it ends, a panic included, it leaves the table.
pub(super) struct Sent {
    number: u64,
    outdated: Arc<AtomicBool>,
    table: Arc<Mutex<Table>>,
}

impl Sent {
    /// Whether the secret was changed since.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::SeqCst)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        let Some((name, _)) = table.sent.remove(&self.number) else { return };
        if let Some(changing) = table.changes.get_mut(&name) {
            changing.disputed = true;
        }
    }
}

/// Who brings the answer of a get that others may have joined.
pub(super) struct Pilot {
    answer: Option<oneshot::Sender<Found>>,
    key: Key,
    sent: Sent,
}

impl Pilot {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.sent.is_outdated()
    }

    /// Hands the answer to all who wait; whoever asks from now on finds it where it is remembered.
    pub(super) fn land(mut self, found: Found) {
        let answer = self.answer.take();
        drop(self);
        if let Some(answer) = answer {
            let _ = answer.send(found); // nobody may wait any more
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let mut table = self.sent.table.lock();
        if table.open.get(&self.key).is_some_and(|(number, _)| *number == self.sent.number) {
            table.open.remove(&self.key);
        }
    }
}
