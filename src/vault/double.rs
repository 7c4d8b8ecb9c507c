//! A vault in memory for the tests of the rooms above: it counts, fails and waits as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Found, Item, NewSecret, Page, Pages, Properties, Secret, SecretBytes, SecretName, Vault, VaultError, VersionId,
};

/// Cheap to clone: the clones are the same vault.
#[derive(Clone)]
pub(crate) struct Double(Arc<State>);

pub(crate) struct State {
    secrets: Mutex<BTreeMap<String, Vec<(VersionId, String)>>>,
    pub(crate) gets: AtomicUsize,
    pub(crate) listings: AtomicUsize,
    /// What every call answers instead.
    pub(crate) error: Mutex<Option<VaultError>>,
    /// A permit is taken by every get and every page.
    pub(crate) gate: Semaphore,
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
        versions.push((id, value.to_owned()));
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

    fn pages(&self, items: Vec<Item>) -> Pages {
        self.listings.fetch_add(1, Ordering::SeqCst);
        let pages: Vec<Page> = items.chunks(2).map(Into::into).collect();
        let double = self.clone();
        stream::iter(pages)
            .then(move |page| {
                let double = double.clone();
                async move { double.pass().await.map(|()| page) }
            })
            .boxed()
    }
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
            let fits = |(id, _): &&(VersionId, String)| version.is_none_or(|version| version == *id);
            let (version, value) = versions.iter().rev().find(fits)?;
            let value = SecretBytes::new(value.as_bytes().to_vec());
            Some(Arc::new(Secret {
                name: super::double::name(own),
                version: *version,
                properties: properties(own),
                value,
            }))
        }))
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        self.put(name.as_str(), std::str::from_utf8(new.value.expose()).unwrap());
        let version = self.secrets.lock()[name.as_str()].last().unwrap().0;
        Ok(Arc::new(Secret { name: name.clone(), version, properties: properties(name.as_str()), value: new.value }))
    }

    fn secrets(&self) -> Pages {
        let item = |own: &String| Item { name: name(own), version: None, properties: properties(own) };
        self.pages(self.secrets.lock().keys().map(item).collect())
    }

    fn versions(&self, of: &SecretName) -> Pages {
        let secrets = self.secrets.lock();
        let versions = secrets.get(of.as_str()).map(Vec::as_slice).unwrap_or_default();
        let item = |(id, _): &(VersionId, String)| Item {
            name: of.clone(),
            version: Some(*id),
            properties: properties(of.as_str()),
        };
        self.pages(versions.iter().map(item).collect())
    }
}
