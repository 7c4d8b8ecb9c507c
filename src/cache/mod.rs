//! A vault that remembers what another vault said.
//!
//! Owns freshness, single flight and bounds. Refuses to know of HTTP or files: [`Cached`] wraps any
//! [`Vault`] and is one itself.

mod flights;
mod listing;
mod values;

use std::sync::Arc;
use std::time::Duration;

use crate::vault::{
    Changes, DeletedItem, Found, Item, Known, NewSecret, OutContentType, Pages, Secret, SecretBytes, SecretName, Vault,
    VaultError, VersionId,
};
use flights::Flights;
use listing::Listings;
use values::Values;

/// How long answers count as fresh, and how many are kept.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// For how long a value or a listing is served without asking the vault.
    pub ttl: Duration,
    /// For how long "there is none", and a refusal, are remembered.
    pub negative_ttl: Duration,
    /// At most this many values, least recently used out first.
    pub entries: usize,
}

/// What is asked of a secret: its newest version, or a given one.
type Key = (SecretName, Option<VersionId>);

/// A vault with a memory. Cheap to clone: the clones share it.
pub struct Cached<V>(Arc<Shared<V>>);

struct Shared<V> {
    vault: V,
    settings: CacheSettings,
    values: Values,
    flights: Flights,
    listings: Listings,
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Cached(Arc::clone(&self.0))
    }
}

impl<V> Shared<V> {
    /// Forgets what a change of the secret has made untrue, whatever the vault said to it: its answer may
    /// have been lost.
    fn forget(&self, name: &SecretName) {
        self.values.forget(name);
        self.listings.forget(name);
    }
}

impl<V: Vault> Cached<V> {
    /// Puts a memory in front of the vault.
    pub fn new(vault: V, settings: CacheSettings) -> Cached<V> {
        Cached(Arc::new(Shared {
            values: Values::new(&settings),
            flights: Flights::default(),
            listings: Listings::new(settings.ttl),
            vault,
            settings,
        }))
    }

    /// Forgets everything that was remembered; values are wiped as soon as no open file shows them.
    pub fn forget_all(&self) {
        self.0.values.clear();
        self.0.listings.clear();
    }
}

impl<V: Vault> Vault for Cached<V> {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        let key = (name.clone(), version);
        let shared = Arc::clone(&self.0);
        self.0
            .flights
            .join(
                &key,
                || self.0.values.fresh(&key),
                move |(name, version)| async move {
                    let found = shared.vault.get(&name, version).await;
                    shared.values.remember(&(name, version), &found);
                    found
                },
            )
            .await
    }

    async fn get_as(&self, name: &SecretName, version: Option<VersionId>, form: OutContentType) -> Found {
        self.0.vault.get_as(name, version, form).await
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let secret = self.0.vault.set(name, new).await?;
        if !secret.properties.enabled {
            self.0.forget(name); // its value was told to whoever set it, and to nobody else
            return Ok(secret);
        }
        self.0.values.remember(&(name.clone(), None), &Ok(Some(Arc::clone(&secret))));
        self.0.listings.forget(name);
        Ok(secret)
    }

    async fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> Result<Option<Item>, VaultError> {
        let updated = self.0.vault.update(name, version, changes).await;
        self.0.forget(name);
        updated
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let deleted = self.0.vault.delete(name).await;
        self.0.forget(name);
        deleted
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        self.0.vault.deleted(name).await
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        let recovered = self.0.vault.recover(name).await;
        self.0.forget(name);
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
        self.0.forget(&restored.name);
        Ok(restored)
    }

    fn secrets(&self) -> Pages {
        self.0.listings.secrets(|| self.0.vault.secrets())
    }

    fn versions(&self, name: &SecretName) -> Pages {
        self.0.listings.versions(name, || self.0.vault.versions(name))
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        self.0.vault.deleted_secrets()
    }

    fn known(&self, name: &SecretName, version: Option<VersionId>) -> Option<Known<Found>> {
        self.0.values.fresh(&(name.clone(), version))
    }

    /// A name that a listing lacks may have been made since, so that is believed for the negative ttl
    /// only.
    fn known_item(&self, name: &SecretName) -> Option<Known<Option<Item>>> {
        let known = self.0.listings.item(name)?;
        if known.answer.is_some() {
            return Some(known);
        }
        let age = self.0.settings.ttl.saturating_sub(known.fresh_for);
        let fresh_for = self.0.settings.negative_ttl.saturating_sub(age);
        (!fresh_for.is_zero()).then_some(Known { fresh_for, ..known })
    }
}

#[cfg(test)]
mod tests;
