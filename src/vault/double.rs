//! A vault in memory for the tests of the rooms above: it counts, fails and waits as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) use super::http::double::Gate;
use super::{
    Changes, DeletedItem, Found, Item, NewSecret, OutContentType, Page, Pages, Properties, Secret, SecretBytes,
    SecretName, Vault, VaultError, VaultErrorKind, VersionId,
};

/// Cheap to clone: the clones are the same vault.
#[derive(Clone)]
pub(crate) struct Double(Arc<State>);

pub(crate) struct State {
    secrets: Mutex<BTreeMap<String, Vec<Version>>>,
    deleted: Mutex<BTreeMap<String, Vec<Version>>>,
    pub(crate) gets: AtomicUsize,
    pub(crate) listings: AtomicUsize,
    /// What every call answers instead.
    pub(crate) error: Mutex<Option<VaultError>>,
    /// A permit is taken by every get and every page.
    pub(crate) gate: Semaphore,
}

#[derive(Clone)]
struct Version {
    id: VersionId,
    value: String,
    properties: Properties,
}

impl std::ops::Deref for Double {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

pub(crate) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

impl Double {
    pub(crate) fn with(secrets: &[(&str, &str)]) -> Double {
        let double = Double(Arc::new(State {
            secrets: Mutex::default(),
            deleted: Mutex::default(),
            gets: AtomicUsize::new(0),
            listings: AtomicUsize::new(0),
            error: Mutex::new(None),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }));
        secrets.iter().for_each(|(name, value)| double.put(name, value));
        double
    }

    pub(crate) fn put(&self, name: &str, value: &str) {
        let mut secrets = self.secrets.lock();
        let versions = secrets.entry(name.to_owned()).or_default();
        let id = VersionId::parse(&format!("{:032x}", versions.len() + 1)).unwrap();
        versions.push(Version { id, value: value.to_owned(), properties: properties(name) });
    }

    /// The values of a live secret's versions, oldest first.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let secrets = self.secrets.lock();
        secrets.get(name).into_iter().flatten().map(|version| version.value.clone()).collect()
    }

    pub(crate) fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    /// Lets nothing through from now on; `gate.add_permits` does.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    async fn pass(&self) -> Result<(), VaultError> {
        self.gate.acquire().await.unwrap().forget();
        self.error.lock().clone().map_or(Ok(()), Err)
    }

    fn pages<T: Clone + Send + Sync + 'static>(&self, items: Vec<T>) -> Pages<T> {
        self.listings.fetch_add(1, Ordering::SeqCst);
        let pages: Vec<Page<T>> = items.chunks(2).map(Into::into).collect();
        let double = self.clone();
        stream::iter(pages)
            .then(move |page| {
                let double = double.clone();
                async move { double.pass().await.map(|()| page) }
            })
            .boxed()
    }

    /// Takes a secret from one map into the other.
    fn shift(from: &Table, to: &Table, name: &SecretName) -> Option<Item> {
        let mut from = from.lock();
        let own = from.keys().find(|own| own.eq_ignore_ascii_case(name.as_str()))?.clone();
        let versions = from.remove(&own)?;
        let item = newest(&own, &versions);
        to.lock().insert(own, versions);
        Some(item)
    }
}

type Table = Mutex<BTreeMap<String, Vec<Version>>>;

fn newest(own: &str, versions: &[Version]) -> Item {
    Item { name: name(own), version: None, properties: versions.last().unwrap().properties.clone() }
}

fn deleted_item(item: Item) -> DeletedItem {
    DeletedItem { item, recovery_id: None, deleted_on: Some(3_000), scheduled_purge_on: Some(4_000) }
}

fn properties(id: &str) -> Properties {
    Properties {
        id: id.into(),
        content_type: None,
        enabled: true,
        not_before: None,
        expires_on: None,
        created_on: 1_000,
        updated_on: 2_000,
        recovery_level: None,
        recoverable_days: None,
        tags: None,
        managed: false,
        key_id: None,
        previous_version: None,
    }
}

impl Vault for Double {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.pass().await?;
        let secrets = self.secrets.lock();
        let found = secrets.iter().find(|(own, _)| own.eq_ignore_ascii_case(name.as_str()));
        Ok(found.and_then(|(own, versions)| {
            let fits = |held: &&Version| version.is_none_or(|version| version == held.id);
            let version = versions.iter().rev().find(fits)?;
            Some(Arc::new(Secret {
                name: super::double::name(own),
                version: version.id,
                properties: version.properties.clone(),
                value: SecretBytes::new(version.value.as_bytes().to_vec()),
            }))
        }))
    }

    /// It holds no certificates, and so converts none.
    async fn get_as(&self, _: &SecretName, _: Option<VersionId>, _: OutContentType) -> Found {
        self.pass().await?;
        Err(VaultError::of(VaultErrorKind::Rejected(400)))
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        self.pass().await?;
        self.put(name.as_str(), std::str::from_utf8(new.value.expose()).unwrap());
        let version = self.secrets.lock()[name.as_str()].last().unwrap().clone();
        let (version, properties) = (version.id, version.properties);
        Ok(Arc::new(Secret { name: name.clone(), version, properties, value: new.value }))
    }

    async fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> Result<Option<Item>, VaultError> {
        self.pass().await?;
        let mut secrets = self.secrets.lock();
        let Some(versions) = secrets.get_mut(name.as_str()) else { return Ok(None) };
        let fits = |held: &&mut Version| version.is_none_or(|version| version == held.id);
        let Some(held) = versions.iter_mut().rev().find(fits) else { return Ok(None) };
        let properties = &mut held.properties;
        properties.enabled = changes.enabled.unwrap_or(properties.enabled);
        properties.tags = changes.tags.or(properties.tags.take());
        properties.content_type = changes.content_type.map(Into::into).or(properties.content_type.take());
        properties.not_before = changes.not_before.or(properties.not_before);
        properties.expires_on = changes.expires_on.or(properties.expires_on);
        Ok(Some(Item { name: name.clone(), version: Some(held.id), properties: properties.clone() }))
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        self.pass().await?;
        Ok(Double::shift(&self.secrets, &self.deleted, name).map(deleted_item))
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        self.pass().await?;
        let deleted = self.deleted.lock();
        Ok(deleted.get(name.as_str()).map(|versions| deleted_item(newest(name.as_str(), versions))))
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        self.pass().await?;
        Ok(Double::shift(&self.deleted, &self.secrets, name))
    }

    async fn purge(&self, name: &SecretName) -> Result<(), VaultError> {
        self.pass().await?;
        let purged = self.deleted.lock().remove(name.as_str());
        purged.map(drop).ok_or_else(|| VaultError::of(VaultErrorKind::Rejected(404)))
    }

    /// The name is the blob: it stands for a secret that is still here under it.
    async fn backup(&self, name: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        self.pass().await?;
        let secrets = self.secrets.lock();
        Ok(secrets.contains_key(name.as_str()).then(|| SecretBytes::new(name.as_str().into())))
    }

    async fn restore(&self, blob: &SecretBytes) -> Result<Item, VaultError> {
        self.pass().await?;
        let own = std::str::from_utf8(blob.expose()).unwrap();
        self.put(own, "restored");
        Ok(newest(own, &self.secrets.lock()[own]))
    }

    fn secrets(&self) -> Pages {
        self.pages(self.secrets.lock().iter().map(|(own, versions)| newest(own, versions)).collect())
    }

    fn versions(&self, of: &SecretName) -> Pages {
        let secrets = self.secrets.lock();
        let versions = secrets.get(of.as_str()).map(Vec::as_slice).unwrap_or_default();
        let item =
            |held: &Version| Item { name: of.clone(), version: Some(held.id), properties: held.properties.clone() };
        self.pages(versions.iter().map(item).collect())
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        self.pages(self.deleted.lock().iter().map(|(own, versions)| deleted_item(newest(own, versions))).collect())
    }
}
