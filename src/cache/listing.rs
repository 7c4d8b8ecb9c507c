//! Listings that many may read while they grow.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::vault::{Item, Known, Page, Pages, SecretName, VaultError, VaultErrorKind};

/// Listings of versions that are remembered at most.
const VERSION_LISTINGS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The listing of secrets, and those of versions.
pub(super) struct Listings {
    ttl: Duration,
    secrets: Mutex<Option<Listing>>,
    versions: Mutex<LruCache<SecretName, Listing>>,
}

/// One listing, complete or growing. It grows in a task of its own, whoever waits for it.
#[derive(Clone)]
struct Listing(watch::Receiver<Progress>);

#[derive(Default)]
struct Progress {
    pages: Vec<Page>,
    /// Where each name stands: page, and place in it.
    places: HashMap<SecretName, (u32, u32)>,
    end: Option<Result<Instant, VaultError>>,
}

impl Listings {
    pub(super) fn new(ttl: Duration) -> Listings {
        Listings { ttl, secrets: Mutex::new(None), versions: Mutex::new(LruCache::new(VERSION_LISTINGS)) }
    }

    /// The listing of secrets: the fresh one, the one under way, or a new one.
    pub(super) fn secrets(&self, start: impl FnOnce() -> Pages) -> Pages {
        let mut slot = self.secrets.lock();
        if let Some(listing) = slot.as_ref().filter(|listing| listing.is_usable(self.ttl)) {
            return listing.pages();
        }
        slot.insert(Listing::of(start())).pages()
    }

    /// The same for a secret's versions.
    pub(super) fn versions(&self, name: &SecretName, start: impl FnOnce() -> Pages) -> Pages {
        let mut slots = self.versions.lock();
        if let Some(listing) = slots.get(name).filter(|listing| listing.is_usable(self.ttl)) {
            return listing.pages();
        }
        let listing = Listing::of(start());
        let pages = listing.pages();
        slots.put(name.clone(), listing);
        pages
    }

    /// What the listing of secrets says of a name: nothing, unless it is fresh, and of a name it lacks
    /// only when it is complete.
    pub(super) fn item(&self, name: &SecretName) -> Option<Known<Option<Item>>> {
        let slot = self.secrets.lock();
        let progress = slot.as_ref()?.0.borrow();
        let answer = progress.item(name).cloned();
        let fresh_for = match progress.end {
            Some(Ok(ended)) => self.ttl.saturating_sub(ended.elapsed()),
            Some(Err(_)) => Duration::ZERO,
            None if answer.is_some() => self.ttl,
            None => Duration::ZERO,
        };
        (!fresh_for.is_zero()).then_some(Known { answer, fresh_for })
    }

    /// Forgets what a write to the secret has made untrue.
    pub(super) fn forget(&self, name: &SecretName) {
        *self.secrets.lock() = None;
        self.versions.lock().pop(name);
    }

    pub(super) fn clear(&self) {
        *self.secrets.lock() = None;
        self.versions.lock().clear();
    }
}

impl Listing {
    fn of(mut pages: Pages) -> Listing {
        let (progress, listing) = watch::channel(Progress::default());
        tokio::spawn(async move {
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => progress.send_modify(|progress| progress.add(page)),
                    Err(error) => return progress.send_modify(|progress| progress.end = Some(Err(error))),
                }
            }
            progress.send_modify(|progress| progress.end = Some(Ok(Instant::now())));
        });
        Listing(listing)
    }

    /// Whether it is fresh or under way.
    fn is_usable(&self, ttl: Duration) -> bool {
        match self.0.borrow().end {
            None => self.0.has_changed().is_ok(), // an error here: its task has died
            Some(Ok(ended)) => ended.elapsed() < ttl,
            Some(Err(_)) => false,
        }
    }

    /// Its pages from the first on, each as soon as it is there.
    fn pages(&self) -> Pages {
        stream::unfold((self.0.clone(), Some(0)), |(mut listing, at)| async move {
            let at = at?;
            let page = page_at(&mut listing, at).await?;
            let next = page.is_ok().then_some(at + 1);
            Some((page, (listing, next)))
        })
        .boxed()
    }
}

/// A page as soon as it is there; `None` past the last one.
async fn page_at(listing: &mut watch::Receiver<Progress>, at: usize) -> Option<Result<Page, VaultError>> {
    let settled = listing.wait_for(|progress| progress.pages.len() > at || progress.end.is_some()).await;
    let Ok(progress) = settled else {
        // Its task has died half-way: that must not look like the end of the list.
        return Some(Err(VaultError::of(VaultErrorKind::Aborted)));
    };
    match (progress.pages.get(at), &progress.end) {
        (Some(page), _) => Some(Ok(Arc::clone(page))),
        (None, Some(Err(error))) => Some(Err(error.clone())),
        (None, _) => None,
    }
}

impl Progress {
    fn add(&mut self, page: Page) {
        let at = self.pages.len();
        for (place, item) in page.iter().enumerate() {
            if let (Ok(at), Ok(place)) = (u32::try_from(at), u32::try_from(place)) {
                self.places.insert(item.name.clone(), (at, place));
            }
        }
        self.pages.push(page);
    }

    fn item(&self, name: &SecretName) -> Option<&Item> {
        let (page, place) = *self.places.get(name)?;
        self.pages.get(page as usize)?.get(place as usize)
    }
}
