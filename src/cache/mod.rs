//! A vault that remembers what another vault said.
//!
//! Owns freshness, single flight, what is served while the vault cannot be asked, bounds, and what is
//! hot. Refuses to know of HTTP or files: [`Cached`] wraps any [`Vault`] and is one itself.

mod asking;
mod change;
mod changing;
mod counters;
mod expiry;
mod flights;
mod forced;
mod freshness;
mod listing;
mod listings;
mod outage;
mod settings;
mod values;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::vault::{
    Changes, DeletedItem, Found, Item, Known, Listed, NewSecret, OutContentType, Page, Pages, Secret, SecretBytes,
    SecretName, Vault, VaultError, VersionId,
};
pub use change::{Change, ChangeKind};
use counters::Counters;
pub use counters::Counts;
use expiry::Expiry;
use flights::Flights;
use forced::Forced;
use freshness::Rounds;
use listings::Listings;
use outage::Outage;
pub use settings::CacheSettings;
use values::Values;

/// What is asked of a secret: its newest version, or a given one.
type Key = (SecretName, Option<VersionId>);

/// Changes that wait for who is told of them.
const CHANGES: usize = 1024;

/// More than anybody means by a ttl, and little enough to count with.
const LONGEST_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A vault with a memory. Cheap to clone: the clones share it.
pub struct Cached<V>(Arc<Shared<V>>);

struct Shared<V> {
    vault: V,
    settings: CacheSettings,
    values: Values,
    flights: Flights,
    forced: Forced,
    listings: Listings,
    outage: Outage,
    rounds: Rounds,
    expiry: Expiry,
    counters: Counters,
    changes: broadcast::Sender<Change>,
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Cached(Arc::clone(&self.0))
    }
}

impl<V: Vault> Cached<V> {
    /// Puts a memory in front of the vault.
    pub fn new(vault: V, settings: CacheSettings) -> Cached<V> {
        let settings = CacheSettings { ttl: settings.ttl.min(LONGEST_TTL), ..settings };
        Cached(Arc::new(Shared {
            values: Values::new(&settings),
            flights: Flights::default(),
            forced: Forced::default(),
            listings: Listings::new(&settings),
            outage: Outage::new(settings.pause()),
            rounds: Rounds::default(),
            expiry: Expiry::default(),
            counters: Counters::default(),
            changes: broadcast::Sender::new(CHANGES),
            vault,
            settings,
        }))
    }

    /// Forgets everything that was remembered; values are wiped as soon as no open file shows them.
    pub fn forget_all(&self) {
        self.0.flights.outdate_all();
        self.0.values.clear();
        self.0.listings.clear();
    }

    /// Forgets what was remembered of one secret.
    pub fn forget(&self, name: &SecretName) {
        self.0.flights.outdate(name);
        self.0.values.forget(name);
        self.0.listings.forget(name);
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    /// From now on, what the vault is found to hold other than was remembered, whoever has changed it.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }
}

impl<V: Vault> Vault for Cached<V> {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        self.0.get((name.clone(), version)).await
    }

    async fn get_now(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        self.0.get_now((name.clone(), version)).await
    }

    async fn get_as(&self, name: &SecretName, version: Option<VersionId>, form: OutContentType) -> Found {
        self.0.vault.get_as(name, version, form).await
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let change = self.0.begin(name);
        let made = self.0.vault.set(name, new).await;
        change.made(&made);
        made
    }

    async fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> Result<Option<Item>, VaultError> {
        let change = self.0.begin(name);
        let updated = self.0.vault.update(name, version, changes).await;
        change.updated(version, &updated);
        updated
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let change = self.0.begin(name);
        let deleted = self.0.vault.delete(name).await;
        change.deleted(&deleted);
        deleted
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        self.0.vault.deleted(name).await
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        let change = self.0.begin(name);
        let recovered = self.0.vault.recover(name).await;
        change.brought_back(recovered.as_ref().map(Option::as_ref));
        recovered
    }

    async fn purge(&self, name: &SecretName) -> Result<(), VaultError> {
        self.0.vault.purge(name).await
    }

    async fn backup(&self, name: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        self.0.vault.backup(name).await
    }

    async fn restore(&self, blob: &SecretBytes) -> Result<Item, VaultError> {
        let restored = self.0.vault.restore(blob).await?;
        // Its name is known only now.
        self.0.begin(&restored.name).brought_back(Ok(Some(&restored)));
        Ok(restored)
    }

    fn secrets(&self) -> Pages {
        self.0.secrets()
    }

    fn versions(&self, name: &SecretName) -> Pages {
        self.0.versions(name)
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        self.0.vault.deleted_secrets()
    }

    fn known(&self, name: &SecretName, version: Option<VersionId>) -> Option<Known<Found>> {
        self.0.known(&(name.clone(), version), true)
    }

    fn peek(&self, name: &SecretName, version: Option<VersionId>) -> Option<Known<Found>> {
        self.0.known(&(name.clone(), version), false)
    }

    fn known_item(&self, name: &SecretName) -> Option<Known<Option<Listed>>> {
        self.0.listings.item(name, self.0.outage.quiet_for(None))
    }

    fn known_listing(&self) -> Option<Known<Page>> {
        self.0.listings.first_page()
    }

    fn refresh(&self, name: Option<&SecretName>) {
        match name {
            Some(name) => {
                self.0.flights.outdate(name);
                self.0.values.expire(name);
                self.0.listings.expire(name);
            }
            None => {
                self.0.flights.outdate_all();
                self.0.values.expire_all();
                self.0.listings.expire_all();
            }
        }
        self.0.rounds.hurry();
    }

    fn age(&self, name: &SecretName, version: Option<VersionId>) -> Option<Duration> {
        self.0.values.age(&(name.clone(), version))
    }

    fn age_of_listing(&self) -> Option<Duration> {
        self.0.listings.age()
    }
}

#[cfg(test)]
mod tests;
