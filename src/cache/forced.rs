//! Gets that must ask the vault after they were called. Of those that come while one is under way, one
//! asks for all, once that one has landed: it was sent before they came, and will not do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Key;
use super::flights::{Flight, promise};
use crate::vault::Found;

/// One that hangs is waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The forced gets.
#[derive(Default)]
pub(super) struct Forced(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// Not sent yet: may be joined.
    waiting: HashMap<Key, Flight>,
    /// Sent: may be waited for. The number tells them apart.
    sent: HashMap<Key, (u64, Flight)>,
    last: u64,
}

impl Forced {
    /// The flight to wait for, and its sender, if it is this caller who has to see to it in a task.
    pub(super) fn board(&self, key: &Key) -> (Flight, Option<Sender>) {
        let mut table = self.0.lock();
        if let Some(waiting) = table.waiting.get(key) {
            return (waiting.clone(), None);
        }
        let (answer, flight) = promise();
        let before = table.sent.get(key).map(|(_, flight)| flight.clone());
        table.last += 1;
        let number = table.last;
        match before {
            Some(_) => drop(table.waiting.insert(key.clone(), flight.clone())),
            None => drop(table.sent.insert(key.clone(), (number, flight.clone()))),
        }
        let (table, key) = (Arc::clone(&self.0), key.clone());
        (flight, Some(Sender { answer: Some(answer), before, number, table, key }))
    }
}

/// Who sends a forced get when its turn has come.
pub(super) struct Sender {
    answer: Option<oneshot::Sender<Found>>,
    before: Option<Flight>,
    number: u64,
    table: Arc<Mutex<Table>>,
    key: Key,
}

impl Sender {
    /// Waits for its turn. From then on nobody joins it.
    pub(super) async fn turn(&mut self) {
        let Some(before) = self.before.clone() else { return };
        let _ = tokio::time::timeout(PATIENCE, before).await; // what it found is its own callers' business
        self.before = None;
        let mut table = self.table.lock();
        if let Some(flight) = table.waiting.remove(&self.key) {
            table.sent.insert(self.key.clone(), (self.number, flight));
        }
    }

    /// Hands the answer to all who wait.
    pub(super) fn land(mut self, found: Found) {
        let answer = self.answer.take();
        drop(self);
        if let Some(answer) = answer {
            let _ = answer.send(found); // nobody may wait any more
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        if self.before.is_some() {
            table.waiting.remove(&self.key);
        } else if table.sent.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.sent.remove(&self.key);
        }
    }
}
