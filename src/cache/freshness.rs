//! Keeping fresh what is read, with the fewest requests, so that readers find it in memory.
//!
//! A listing tells with one request for 25 secrets which of them have changed; where fewer values than
//! that are hot, getting each is cheaper. One value is got in any case, the one that was got the longest
//! time ago: a listing does not tell whether values may still be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::asking::Asker;
use super::listing::Listing;
use super::{Cached, Key, Shared};
use crate::vault::{Vault, VaultErrorKind};

/// Gets under way at once.
const PARALLEL: usize = 8;

/// From one round to the next, in parts of the ttl: somewhere in between, so that the mounts of a fleet
/// do not ask at the same moment.
const ROUND: std::ops::Range<f64> = 0.88..0.95;

/// The same for the first round: mounts that start together part here.
const FIRST_ROUND: std::ops::Range<f64> = 0.40..0.95;

/// A shorter ttl leaves no time to ask ahead of it.
const SHORTEST_TTL: Duration = Duration::from_secs(2);

/// How often what is of no use is dropped where there are no rounds.
const SWEEP: Duration = Duration::from_secs(60);

/// What the rounds have to know of each other.
#[derive(Default)]
pub(super) struct Rounds {
    /// The vault is back: the next round is due.
    due: Notify,
    /// A listing was longer than it was worth, and given up after so many pages.
    given_up_after: AtomicUsize,
}

impl Rounds {
    pub(super) fn hurry(&self) {
        self.due.notify_one();
    }
}

impl<V: Vault> Cached<V> {
    /// Keeps what is read fresh, and drops what is of no use any more. Never ends.
    pub async fn keep_fresh(self) {
        let Cached(shared) = self;
        let ttl = shared.settings.ttl;
        let mut part = FIRST_ROUND;
        loop {
            let wait = if ttl < SHORTEST_TTL { SWEEP } else { ttl.mul_f64(between(part)) };
            part = ROUND;
            tokio::select! {
                () = sleep(wait) => {}
                () = shared.rounds.due.notified() => {}
            }
            if ttl >= SHORTEST_TTL {
                shared.round().await;
            }
            shared.outage.caught_up();
            shared.values.sweep();
        }
    }
}

impl<V: Vault> Shared<V> {
    /// Confirms all hot values that would not be fresh until the next round.
    async fn round(self: &Arc<Self>) {
        let next = Instant::now() + self.settings.ttl.mul_f64(ROUND.end);
        let due = self.values.due(next);
        let Some(first) = due.first() else { return };
        if !self.outage.may_catch_up(&Some(first.clone())) {
            return;
        }
        let found = self.ask(first, Asker::Background).await;
        let may_get =
            !found.is_err_and(|error| matches!(error.kind, VaultErrorKind::Denied(denial) if denial.is_permission()));
        let newest = due.iter().skip(1).filter(|(_, version)| version.is_none()).count();
        if may_get && !self.outage.is_down() && self.pages_at_least() < newest {
            self.list(newest).await;
        }
        let unconfirmed = self.values.due(next).into_iter().filter(|key| key != first && due.contains(key));
        self.get_each(unconfirmed.collect()).await;
    }

    async fn get_each(self: &Arc<Self>, keys: Vec<Key>) {
        let mut gets = stream::iter(keys)
            .map(|key| async move {
                if !self.outage.is_down() {
                    let _ = self.ask(&key, Asker::Background).await; // it is remembered
                }
            })
            .buffer_unordered(PARALLEL);
        while gets.next().await.is_some() {}
    }

    fn pages_at_least(&self) -> usize {
        let given_up_after = self.rounds.given_up_after.load(Ordering::Relaxed);
        self.listings.number_of_pages().unwrap_or(given_up_after)
    }

    /// Lists the secrets, for what it says of values and for whoever lists them next; gives up where as
    /// many gets do as well.
    async fn list(self: &Arc<Self>, gets: usize) {
        let own_changes = self.listings.own_changes();
        let mut listing = self.vault.secrets();
        let mut pages = Vec::new();
        while pages.len() < gets {
            let asked = Instant::now();
            let Some(page) = listing.next().await else {
                self.heard(None, None);
                return self.listings.install(Listing::of(pages), own_changes);
            };
            match page {
                Ok(page) => {
                    self.page_came(&page, asked);
                    pages.push(page);
                }
                Err(error) => {
                    if error.is_definite() {
                        self.rounds.given_up_after.store(usize::MAX, Ordering::Relaxed);
                    }
                    return self.heard(None, Some(&error));
                }
            }
        }
        self.rounds.given_up_after.store(pages.len(), Ordering::Relaxed);
    }
}

/// A random number of the range.
fn between(range: std::ops::Range<f64>) -> f64 {
    range.start + fastrand::f64() * (range.end - range.start)
}
