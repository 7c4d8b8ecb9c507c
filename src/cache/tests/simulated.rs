//! A vault in simulated time, for one mount or a fleet: it takes as long as it is told, counts what it is
//! asked, and refuses as the service does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::vault::double::Gate;
use crate::vault::{
    Changes, DeletedItem, Found, Item, NewSecret, OutContentType, Page, Pages, Properties, Secret, SecretBytes,
    SecretName, Vault, VaultError, VaultErrorKind, VersionId,
};

/// Secrets on a page of the service's listings.
const PAGE: usize = 25;
/// Seconds since 1970 at which a simulation begins: long ago, so that nothing expires by accident.
const BEGIN: i64 = 1_500_000_000;

/// Cheap to clone: the clones are the same vault.
#[derive(Clone)]
pub(super) struct Simulated(Arc<Mutex<State>>, Option<Arc<Gate>>);

struct State {
    begun: Instant,
    latency: Duration,
    secrets: BTreeMap<String, Version>,
    versions: u128,
    /// What is answered instead, to everything or to gets of one secret.
    trouble: Option<VaultErrorKind>,
    troubled: BTreeMap<String, VaultErrorKind>,
    trouble_with_listings: Option<VaultErrorKind>,
    /// When requests came, the last ten seconds of them, and how many may.
    recent: VecDeque<Instant>,
    limit: usize,
    asked: Asked,
}

#[derive(Clone)]
struct Version {
    id: VersionId,
    value: Vec<u8>,
    properties: Properties,
}

/// What a vault was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) gets: u64,
    pub(super) pages: u64,
    pub(super) throttled: u64,
    /// Most requests that were taken in any ten seconds.
    pub(super) busiest: usize,
}

impl Asked {
    pub(super) fn requests(&self) -> u64 {
        self.gets + self.pages
    }
}

pub(super) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

/// The name of one of many secrets.
pub(super) fn numbered(number: usize) -> SecretName {
    name(&format!("secret-{number:05}"))
}

impl Simulated {
    /// A vault of so many secrets, all of them old.
    pub(super) fn of(secrets: usize) -> Simulated {
        let state = State {
            begun: Instant::now(),
            latency: Duration::from_millis(20),
            secrets: BTreeMap::new(),
            versions: 0,
            trouble: None,
            troubled: BTreeMap::new(),
            trouble_with_listings: None,
            recent: VecDeque::new(),
            limit: usize::MAX,
            asked: Asked::default(),
        };
        let vault = Simulated(Arc::new(Mutex::new(state)), None);
        (0..secrets).for_each(|number| vault.put(numbered(number).as_str(), "first"));
        vault
    }

    /// The same vault, as a mount of its own reaches it: within its own limits, and again after a 429.
    pub(super) fn reached(&self) -> Simulated {
        Simulated(Arc::clone(&self.0), Some(Arc::new(Gate::new())))
    }

    pub(super) fn put(&self, name: &str, value: &str) {
        let mut state = self.0.lock();
        state.versions += 1;
        let id = VersionId::parse(&format!("{:032x}", state.versions)).unwrap();
        let now = BEGIN + i64::try_from(state.begun.elapsed().as_secs()).unwrap();
        let version = Version { id, value: value.into(), properties: properties(now) };
        state.secrets.insert(name.to_owned(), version);
    }

    /// Changes a secret's properties.
    pub(super) fn alter(&self, name: &str, change: impl FnOnce(&mut Properties)) {
        change(&mut self.0.lock().secrets.get_mut(name).unwrap().properties);
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.lock().secrets.remove(name);
    }

    /// Answers everything with this, or again with what is asked for.
    pub(super) fn trouble(&self, kind: Option<VaultErrorKind>) {
        self.0.lock().trouble = kind;
    }

    /// Answers gets of one secret with this, or again with its value.
    pub(super) fn trouble_with(&self, name: &str, kind: Option<VaultErrorKind>) {
        let mut state = self.0.lock();
        match kind {
            Some(kind) => drop(state.troubled.insert(name.to_owned(), kind)),
            None => drop(state.troubled.remove(name)),
        }
    }

    /// Answers listings with this.
    pub(super) fn trouble_with_listings(&self, kind: VaultErrorKind) {
        self.0.lock().trouble_with_listings = Some(kind);
    }

    pub(super) fn latency(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    /// Takes so many requests in ten seconds, and refuses the rest, which do not count.
    pub(super) fn limit(&self, requests: usize) {
        self.0.lock().limit = requests;
    }

    /// What has been asked since the last call.
    pub(super) fn asked(&self) -> Asked {
        std::mem::take(&mut self.0.lock().asked)
    }

    /// Takes its time over a request. What is answered is what there is when the vault looks, which is
    /// before the answer arrives.
    async fn answer<T>(&self, look: impl Fn(&mut State) -> Result<T, VaultErrorKind>) -> Result<T, VaultError> {
        let one_try = || async {
            let latency = self.0.lock().latency;
            sleep(latency / 2).await;
            let seen = look(&mut self.0.lock());
            sleep(latency / 2).await;
            seen.map_err(VaultError::of)
        };
        match &self.1 {
            Some(gate) => gate.ask(one_try).await,
            None => one_try().await,
        }
    }
}

impl State {
    /// Counts a request, and answers with an error if that is what there is.
    fn take(
        &mut self,
        count: fn(&mut Asked) -> &mut u64,
        own_trouble: fn(&State, Option<&SecretName>) -> Option<VaultErrorKind>,
        of: Option<&SecretName>,
    ) -> Result<(), VaultErrorKind> {
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now - *at >= Duration::from_secs(10)) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.limit {
            self.asked.throttled += 1;
            return Err(VaultErrorKind::Throttled(None));
        }
        self.recent.push_back(now);
        self.asked.busiest = self.asked.busiest.max(self.recent.len());
        *count(&mut self.asked) += 1;
        own_trouble(self, of).or_else(|| self.trouble.clone()).map_or(Ok(()), Err)
    }

    fn take_get(&mut self, name: &SecretName) -> Result<(), VaultErrorKind> {
        let own = |state: &State, of: Option<&SecretName>| state.troubled.get(of?.as_str()).cloned();
        self.take(|asked| &mut asked.gets, own, Some(name))
    }

    /// The page from a secret on, and where the next one begins.
    fn page(&mut self, at: usize) -> Result<(Page, Option<usize>), VaultErrorKind> {
        self.take_page()?;
        let item = |(own, version): (&String, &Version)| Item {
            name: name(own),
            version: None,
            properties: version.properties.clone(),
        };
        let page = self.secrets.iter().skip(at).take(PAGE).map(item).collect();
        Ok((page, (at + PAGE < self.secrets.len()).then_some(at + PAGE)))
    }

    fn take_page(&mut self) -> Result<(), VaultErrorKind> {
        self.take(|asked| &mut asked.pages, |state, _| state.trouble_with_listings.clone(), None)
    }
}

fn properties(now: i64) -> Properties {
    Properties {
        id: "https://v.example/secrets/x".into(),
        content_type: None,
        enabled: true,
        not_before: None,
        expires_on: None,
        created_on: now,
        updated_on: now,
        recovery_level: None,
        recoverable_days: None,
        tags: None,
        managed: false,
        key_id: None,
        previous_version: None,
    }
}

impl Vault for Simulated {
    async fn get(&self, name: &SecretName, _: Option<VersionId>) -> Found {
        let version = self
            .answer(|state| {
                state.take_get(name)?;
                Ok(state.secrets.get(name.as_str()).cloned())
            })
            .await?;
        Ok(version.map(|Version { id, value, properties }| {
            Arc::new(Secret { name: name.clone(), version: id, properties, value: SecretBytes::new(value) })
        }))
    }

    async fn get_as(&self, name: &SecretName, version: Option<VersionId>, _: OutContentType) -> Found {
        self.get(name, version).await
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        self.answer(|state| state.take_get(name)).await?;
        self.put(name.as_str(), std::str::from_utf8(new.value.expose()).unwrap());
        let version = self.0.lock().secrets[name.as_str()].clone();
        let (version, properties) = (version.id, version.properties);
        Ok(Arc::new(Secret { name: name.clone(), version, properties, value: new.value }))
    }

    async fn update(&self, _: &SecretName, _: Option<VersionId>, _: Changes) -> Result<Option<Item>, VaultError> {
        Ok(None)
    }

    async fn delete(&self, _: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        Ok(None)
    }

    async fn deleted(&self, _: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        Ok(None)
    }

    async fn recover(&self, _: &SecretName) -> Result<Option<Item>, VaultError> {
        Ok(None)
    }

    async fn purge(&self, _: &SecretName) -> Result<(), VaultError> {
        Ok(())
    }

    async fn backup(&self, _: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        Ok(None)
    }

    async fn restore(&self, _: &SecretBytes) -> Result<Item, VaultError> {
        Err(VaultError::of(VaultErrorKind::Rejected(400)))
    }

    fn secrets(&self) -> Pages {
        let vault = self.clone();
        stream::unfold(Some(0), move |at| {
            let vault = vault.clone();
            async move {
                let at = at?;
                match vault.answer(|state| state.page(at)).await {
                    Ok((page, _)) if page.is_empty() => None,
                    Ok((page, next)) => Some((Ok(page), next)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
        .boxed()
    }

    fn versions(&self, _: &SecretName) -> Pages {
        stream::empty().boxed()
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        stream::empty().boxed()
    }
}
