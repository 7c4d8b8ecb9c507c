//! The listings that are remembered: of secrets, and of the versions of some.
//!
//! A complete listing is served until its successor is complete, so that nobody waits for one that was
//! there before.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::StreamExt;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::CacheSettings;
use super::listing::{End, Listing};
use crate::vault::{Item, Known, Listed, Page, Pages, Properties, SecretName, VersionId};

/// Listings of versions that are remembered at most.
const VERSION_LISTINGS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// How long a reader waits for a successor that may be about to be complete, as that of a small vault is.
const SUCCESSION: Duration = Duration::from_millis(200);

/// The listing of secrets, and those of versions.
pub(super) struct Listings {
    settings: CacheSettings,
    secrets: Mutex<Slot>,
    versions: Mutex<LruCache<SecretName, Slot>>,
    own_changes: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// The last one that came to its end.
    complete: Option<Listing>,
    /// The one under way, or the last one that failed.
    latest: Option<Listing>,
    /// What the complete one says may have become untrue.
    expired: bool,
}

/// What to read, and the listing that is to be grown for it in a task of its own.
pub(super) struct Reading {
    pub(super) pages: Pages,
    pub(super) begun: Option<Listing>,
}

impl Listings {
    pub(super) fn new(settings: &CacheSettings) -> Listings {
        Listings {
            settings: settings.clone(),
            secrets: Mutex::default(),
            versions: Mutex::new(LruCache::new(VERSION_LISTINGS)),
            own_changes: AtomicU64::new(0),
        }
    }

    /// The listing of secrets. `may_ask` is asked before a complete one is renewed.
    pub(super) fn secrets(&self, may_ask: impl FnOnce() -> bool) -> Reading {
        self.secrets.lock().read(&self.settings, may_ask)
    }

    /// The same for a secret's versions.
    pub(super) fn versions(&self, name: &SecretName, may_ask: impl FnOnce() -> bool) -> Reading {
        self.versions.lock().get_or_insert_mut(name.clone(), Slot::default).read(&self.settings, may_ask)
    }

    /// Grows with everything that makes a listing untrue that was asked for before.
    pub(super) fn own_changes(&self) -> u64 {
        self.own_changes.load(Ordering::SeqCst)
    }

    /// A listing of secrets that the background has fetched, unless something was changed since.
    pub(super) fn install(&self, listing: Listing, own_changes: u64) {
        let mut slot = self.secrets.lock();
        if self.own_changes() == own_changes {
            *slot = Slot { complete: Some(listing), latest: None, expired: false };
        }
    }

    fn changed(&self, change: impl FnOnce(&mut Slot)) {
        let mut slot = self.secrets.lock();
        self.own_changes.fetch_add(1, Ordering::SeqCst);
        change(&mut slot);
    }

    /// What the listing of secrets says of a name: nothing, unless it is fresh, and of a name it lacks
    /// only when it is complete, and for the negative ttl. While the vault is not to be asked, for
    /// `quiet_for`, what was complete counts on.
    pub(super) fn item(&self, name: &SecretName, quiet_for: Duration) -> Option<Known<Option<Listed>>> {
        let mut slot = self.secrets.lock();
        slot.promote();
        let place = (name.clone(), None);
        if let Some((listing, fresh_for)) = slot.counting(&self.settings, quiet_for) {
            let answer = listing.item(&place)?;
            let fresh_for = match answer {
                Some(_) => fresh_for,
                None => fresh_for.saturating_sub(self.settings.ttl.saturating_sub(self.settings.refusal_ttl())),
            };
            return (!fresh_for.is_zero()).then_some(Known { answer, fresh_for });
        }
        let growing = slot.latest.as_ref().filter(|listing| listing.ended().is_none())?;
        let answer = growing.item(&place)?;
        Some(Known { answer, fresh_for: self.settings.ttl })
    }

    /// The first page of the listing of secrets, if that is complete and fresh.
    pub(super) fn first_page(&self) -> Option<Known<Page>> {
        let mut slot = self.secrets.lock();
        slot.promote();
        let (listing, fresh_for) = slot.counting(&self.settings, Duration::ZERO)?;
        Some(Known { answer: listing.first_page()?, fresh_for })
    }

    /// How long ago the listing of secrets that is shown was complete.
    pub(super) fn age(&self) -> Option<Duration> {
        let mut slot = self.secrets.lock();
        slot.promote();
        slot.complete.as_ref()?.ended().map(|end| end.at.elapsed())
    }

    /// Pages of the listing of secrets, as far as that is known; `usize::MAX` where it is refused.
    pub(super) fn number_of_pages(&self) -> Option<usize> {
        let mut slot = self.secrets.lock();
        slot.promote();
        match slot.failure() {
            Some(End { result: Err(error), .. }) if error.is_definite() => Some(usize::MAX),
            Some(_) | None => slot.complete.as_ref().map(Listing::number_of_pages),
        }
    }

    /// This mount has changed what the listing of secrets says of a secret.
    pub(super) fn show(&self, item: Item) {
        let place = (item.name.clone(), None);
        let item = Item { version: None, properties: without_version(item.properties, item.version), name: item.name };
        self.changed(|slot| slot.each(|listing| listing.change(&place, Some(item.clone()))));
    }

    /// This mount has made or changed a version.
    pub(super) fn show_version(&self, item: &Item) {
        let place = (item.name.clone(), item.version);
        if let Some(slot) = self.versions.lock().peek_mut(&item.name) {
            slot.each(|listing| listing.change(&place, Some(item.clone())));
        }
    }

    /// This mount has deleted a secret.
    pub(super) fn deleted(&self, name: &SecretName) {
        self.changed(|slot| slot.each(|listing| listing.change(&(name.clone(), None), None)));
        self.versions.lock().pop(name);
    }

    /// What is remembered of a secret may have become untrue.
    pub(super) fn expire(&self, name: &SecretName) {
        self.changed(Slot::expire);
        self.expire_versions(name);
    }

    /// The same of all secrets.
    pub(super) fn expire_all(&self) {
        self.changed(Slot::expire);
        self.versions.lock().iter_mut().for_each(|(_, slot)| slot.expire());
    }

    /// The same of one secret's versions alone.
    pub(super) fn expire_versions(&self, name: &SecretName) {
        if let Some(slot) = self.versions.lock().peek_mut(name) {
            slot.expire();
        }
    }

    /// Forgets one secret's versions, and that the listing of secrets is fresh.
    pub(super) fn forget(&self, name: &SecretName) {
        self.changed(Slot::expire);
        self.versions.lock().pop(name);
    }

    pub(super) fn clear(&self) {
        self.changed(|slot| *slot = Slot::default());
        self.versions.lock().clear();
    }
}

impl Slot {
    fn read(&mut self, settings: &CacheSettings, may_ask: impl FnOnce() -> bool) -> Reading {
        self.promote();
        let only = |pages| Reading { pages, begun: None };
        if let Some((listing, _)) = self.counting(settings, Duration::ZERO) {
            return only(listing.pages());
        }
        let old = self.complete.clone().filter(|listing| is_servable(listing, settings));
        let failure = self.failure();
        match (&self.latest, failure, old) {
            (Some(growing), None, Some(old)) => only(succession(growing.clone(), old)),
            (Some(growing), None, None) => only(growing.pages()),
            (Some(failed), Some(end), _) if is_refusal(&end) && end.at.elapsed() < settings.refusal_ttl() => {
                only(failed.pages())
            }
            (_, Some(end), Some(old)) if !is_refusal(&end) && end.at.elapsed() < settings.pause() => only(old.pages()),
            (_, _, Some(old)) if !may_ask() => only(old.pages()),
            (_, _, old) => {
                let begun = Listing::begin();
                self.latest = Some(begun.clone());
                let pages = match old {
                    Some(old) => succession(begun.clone(), old),
                    None => begun.pages(),
                };
                Reading { pages, begun: Some(begun) }
            }
        }
    }

    /// Puts the latest in the place of the complete one, if it has come to its end.
    fn promote(&mut self) {
        if let Some(listing) = self.latest.take_if(|listing| listing.ended().is_some_and(|end| end.result.is_ok())) {
            (self.complete, self.expired) = (Some(listing), false);
        }
    }

    /// The complete listing, and how much longer it counts, if it does.
    fn counting(&self, settings: &CacheSettings, quiet_for: Duration) -> Option<(&Listing, Duration)> {
        let listing = self.complete.as_ref()?;
        let age = listing.ended()?.at.elapsed();
        let fresh_for = if self.expired { Duration::ZERO } else { settings.ttl.saturating_sub(age) };
        let quiet_for = if is_servable(listing, settings) { quiet_for } else { Duration::ZERO };
        let counts_for = fresh_for.max(quiet_for);
        (!counts_for.is_zero()).then_some((listing, counts_for))
    }

    /// How the latest one failed, if it did.
    fn failure(&self) -> Option<End> {
        self.latest.as_ref()?.ended().filter(|end| end.result.is_err())
    }

    fn expire(&mut self) {
        self.expired = true;
        // What is under way was asked before as well: only those who read it already go on with it.
        self.latest = self.latest.take().filter(|listing| listing.ended().is_some());
    }

    fn each(&self, change: impl Fn(&Listing)) {
        self.complete.iter().chain(&self.latest).for_each(change);
    }
}

/// Properties as a listing of secrets has them.
fn without_version(properties: Properties, version: Option<VersionId>) -> Properties {
    let suffix = version.map(|version| format!("/{version}")).unwrap_or_default();
    let id = properties.id.strip_suffix(&suffix).unwrap_or(&properties.id).into();
    Properties { id, key_id: None, previous_version: None, ..properties }
}

fn is_refusal(end: &End) -> bool {
    end.result.as_ref().is_err_and(|error| error.is_definite())
}

/// Whether a complete listing may still be shown, if the vault gives no newer one.
fn is_servable(listing: &Listing, settings: &CacheSettings) -> bool {
    let expired_for = |end: End| end.at.elapsed().saturating_sub(settings.ttl);
    listing.ended().is_some_and(|end| end.result.is_ok() && settings.outlasts(expired_for(end)))
}

/// The successor, if it is complete in a moment or is refused, and otherwise the old listing.
fn succession(successor: Listing, old: Listing) -> Pages {
    let moment = sleep(SUCCESSION); // made here, since the pages may be taken outside of the runtime
    async move {
        tokio::select! {
            () = successor.ends() => {}
            () = moment => {}
        }
        match successor.ended() {
            Some(end) if end.result.is_ok() || is_refusal(&end) => successor.pages(),
            Some(_) | None => old.pages(),
        }
    }
    .into_stream()
    .flatten()
    .boxed()
}
