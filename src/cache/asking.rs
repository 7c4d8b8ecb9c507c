//! Asking the vault: when it is asked, who waits for the answer, and what is served in its stead.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::flights::{Boarding, Pilot};
use super::listing::Listing;
use super::listings::Reading;
use super::values::{DOUBT, Recall, named};
use super::{Key, Shared};
use crate::vault::{Found, Known, Page, Pages, Secret, SecretName, Vault, VaultError};

/// How long a reader waits for a vault that may hang, where something remembered would do.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody who reads the value.
    Reader,
    /// Ourselves, to keep it fresh or to be sure.
    Background,
}

impl<V: Vault> Shared<V> {
    /// What is known without asking: what is fresh, and while the vault has trouble what is remembered.
    pub(super) fn known(&self, key: &Key, use_it: bool) -> Option<Known<Found>> {
        match self.values.recall(key, use_it) {
            Recall::Fresh(known) => {
                if use_it {
                    self.counters.hits.count();
                }
                Some(known)
            }
            Recall::Stale { secret, quiet_for } => {
                let fresh_for = quiet_for.max(self.outage.quiet_for(Some(key)));
                if fresh_for.is_zero() {
                    return None;
                }
                if use_it {
                    self.counters.stale.count();
                }
                Some(Known { answer: Ok(Some(secret)), fresh_for })
            }
            Recall::Nothing => None,
        }
    }

    pub(super) async fn get(self: &Arc<Self>, key: Key) -> Found {
        let remembered = match self.values.recall(&key, true) {
            Recall::Fresh(known) => {
                self.counters.hits.count();
                return known.answer;
            }
            Recall::Nothing => {
                self.counters.misses.count();
                return self.ask(&key, Asker::Reader).await;
            }
            Recall::Stale { secret, quiet_for } => {
                if !quiet_for.is_zero() || !self.outage.may_ask(&Some(key.clone())) {
                    return self.stale(secret);
                }
                secret
            }
        };
        match timeout(PATIENCE, self.ask(&key, Asker::Reader)).await {
            Ok(found) => {
                self.counters.misses.count();
                found
            }
            Err(_) => {
                self.values.put_off(&key);
                self.stale(remembered)
            }
        }
    }

    fn stale(&self, secret: Arc<Secret>) -> Found {
        self.counters.stale.count();
        Ok(Some(secret))
    }

    /// Waits for the answer that is on its way, or asks for one.
    pub(super) async fn ask(self: &Arc<Self>, key: &Key, asker: Asker) -> Found {
        let known = || match asker {
            Asker::Reader => self.values.fresh(key).map(|known| known.answer),
            Asker::Background => None,
        };
        match self.flights.board(key, known) {
            Boarding::Known(found) => found,
            Boarding::Passenger(flight) => flight.await,
            Boarding::First(flight, pilot) => {
                let shared = Arc::clone(self);
                tokio::spawn(async move { shared.fly(pilot, asker).await });
                flight.await
            }
        }
    }

    async fn fly(self: Arc<Self>, pilot: Pilot, asker: Asker) {
        let key = pilot.key().clone();
        if asker == Asker::Background {
            self.counters.refreshes.count();
        }
        let asked = Instant::now();
        let found = self.request(&key).await;
        let answer = self.learned(&key, &found, asked, asker, || pilot.is_outdated());
        pilot.land(answer);
    }

    /// A get that asks the vault after this call.
    pub(super) async fn get_now(self: &Arc<Self>, key: Key) -> Found {
        self.counters.misses.count();
        let (flight, sender) = self.forced.board(&key);
        if let Some(mut sender) = sender {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                sender.turn().await;
                let sent = shared.flights.alone(&key.0);
                let asked = Instant::now();
                let found = shared.request(&key).await;
                // Whoever forces a get wants to know what the vault says, an outage included.
                let _ = shared.learned(&key, &found, asked, Asker::Reader, || sent.is_outdated());
                drop(sent);
                sender.land(found);
            });
        }
        flight.await
    }

    async fn request(&self, key: &Key) -> Found {
        self.counters.gets.count();
        let found = self.vault.get(&key.0, key.1).await;
        self.heard(Some(key), found.as_ref().err());
        found
    }

    /// The vault has answered a request, or not.
    pub(super) fn heard(&self, asked: Option<&Key>, error: Option<&VaultError>) {
        match error.filter(|error| !error.is_definite()) {
            Some(error) => {
                self.counters.outages.count();
                self.outage.trouble(asked.cloned(), error);
            }
            None if self.outage.answered() => self.rounds.hurry(),
            None => {}
        }
    }

    /// Remembers an answer, tells of what has changed, and gives what the askers are told.
    fn learned(
        self: &Arc<Self>,
        key: &Key,
        found: &Found,
        asked: Instant,
        asker: Asker,
        is_outdated: impl FnOnce() -> bool,
    ) -> Found {
        let landed = self.values.remember(key, found, asked, asker == Asker::Reader, is_outdated);
        if landed.doubtful {
            self.ask_again(key.clone());
        }
        let name = landed.answer.as_ref().ok().and_then(Option::as_ref).map_or(&key.0, |secret| &secret.name);
        if let Some(change) = named(name, landed.change) {
            self.listings.expire_versions(&key.0);
            let _ = self.changes.send(change); // nobody may listen
        }
        match &landed.answer {
            Ok(Some(_)) if found.is_err() => self.counters.stale.count(),
            Ok(Some(secret)) => self.expiry.look_at(secret),
            Ok(None) | Err(_) => {}
        }
        landed.answer
    }

    fn ask_again(self: &Arc<Self>, key: Key) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            sleep(DOUBT).await;
            shared.ask(&key, Asker::Background).await
        });
    }

    pub(super) fn secrets(self: &Arc<Self>) -> Pages {
        let Reading { pages, begun } = self.listings.secrets(|| self.outage.may_ask(&None));
        if let Some(listing) = begun {
            self.grow(&listing, self.vault.secrets(), Self::page_came);
        }
        pages
    }

    pub(super) fn versions(self: &Arc<Self>, name: &SecretName) -> Pages {
        let Reading { pages, begun } = self.listings.versions(name, || self.outage.may_ask(&None));
        if let Some(listing) = begun {
            self.grow(&listing, self.vault.versions(name), |shared, _, _| shared.counters.pages.count());
        }
        pages
    }

    /// A page of the listing of secrets confirms what it describes as it is remembered.
    pub(super) fn page_came(&self, page: &Page, asked: Instant) {
        self.counters.pages.count();
        page.iter().for_each(|item| self.values.confirm(item, asked));
    }

    fn grow(self: &Arc<Self>, listing: &Listing, pages: Pages, seen: impl Fn(&Self, &Page, Instant) + Send + 'static) {
        let shared = Arc::clone(self);
        let growing = listing.grow(pages, move |page, asked| seen(&shared, page, asked));
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let ended = growing.await;
            shared.heard(None, ended.as_ref().err());
        });
    }
}
