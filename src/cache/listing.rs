//! One listing, which many may read while it grows, and in which this mount's own changes show.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::vault::{Item, Listed, Page, Pages, SecretName, VaultError, VaultErrorKind, VersionId};

/// A page that changes are added to has no more items than the vault's own.
const PAGE: usize = 25;

/// A listing. The clones are the same one; it grows in a task of its own, whoever waits for it.
#[derive(Clone)]
pub(super) struct Listing(Arc<watch::Sender<Progress>>);

/// What an item is found by: the secret, and the version in listings of versions.
pub(super) type Place = (SecretName, Option<VersionId>);

struct Progress {
    pages: Vec<Page>,
    /// Where each item stands: page, and place in it.
    places: HashMap<Place, (usize, usize)>,
    /// Own changes to what has not come yet; `None` for what is there no more.
    changes: HashMap<Place, Option<Item>>,
    end: Option<End>,
}

/// How a listing ended.
#[derive(Clone)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) result: Result<(), VaultError>,
}

impl Listing {
    /// An empty listing that is to [`grow`](Self::grow).
    pub(super) fn begin() -> Listing {
        let progress = Progress { pages: Vec::new(), places: HashMap::new(), changes: HashMap::new(), end: None };
        Listing(Arc::new(watch::Sender::new(progress)))
    }

    /// A listing that has come whole.
    pub(super) fn of(pages: Vec<Page>) -> Listing {
        let listing = Listing::begin();
        pages.into_iter().for_each(|page| listing.add(page));
        listing.end(Ok(()));
        listing
    }

    /// Takes in the pages as they come, and shows each with the time when it was asked for. However this
    /// ends, a panic included, the listing does.
    pub(super) fn grow(
        &self,
        mut pages: Pages,
        mut seen: impl FnMut(&Page, Instant) + Send + 'static,
    ) -> impl Future<Output = Result<(), VaultError>> + Send + 'static {
        let growing = Growing(self.clone());
        async move {
            let mut came: Option<(Page, Instant)> = None;
            loop {
                let asked = Instant::now();
                let show = async {
                    let Some((page, asked)) = came.take() else { return };
                    yield_now().await; // to who sends the request: the vault is at work meanwhile
                    seen(&page, asked);
                    growing.0.add(page);
                };
                match join(pages.next(), show).await.0 {
                    Some(Ok(page)) => came = Some((page, asked)),
                    Some(Err(error)) => {
                        growing.0.end(Err(error.clone()));
                        return Err(error);
                    }
                    None => {
                        growing.0.end(Ok(()));
                        return Ok(());
                    }
                }
            }
        }
    }

    fn add(&self, page: Page) {
        self.0.send_modify(|progress| progress.add(page));
    }

    fn end(&self, result: Result<(), VaultError>) {
        self.0.send_modify(|progress| progress.end(result));
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&self) -> Option<End> {
        self.0.borrow().end.clone()
    }

    /// Waits for its end.
    pub(super) async fn ends(&self) {
        let _ = self.0.subscribe().wait_for(|progress| progress.end.is_some()).await; // the sender is here
    }

    pub(super) fn number_of_pages(&self) -> usize {
        self.0.borrow().pages.len()
    }

    /// The first page that readers get.
    pub(super) fn first_page(&self) -> Option<Page> {
        self.0.borrow().pages.iter().find(|page| !page.is_empty()).map(Arc::clone)
    }

    /// What it says of one item. `None`: nothing, since it has not come that far.
    pub(super) fn item(&self, place: &Place) -> Option<Option<Listed>> {
        let progress = self.0.borrow();
        match progress.places.get(place) {
            Some((page, at)) => Some(Listed::of(progress.pages.get(*page)?, *at)),
            None => progress.end.as_ref().filter(|end| end.result.is_ok()).map(|_| None),
        }
    }

    /// Shows an own change, whatever the vault says of that item in this listing.
    pub(super) fn change(&self, place: &Place, item: Option<Item>) {
        self.0.send_modify(|progress| progress.change(place, item));
    }

    /// Its pages from the first on, each as soon as it is there.
    pub(super) fn pages(&self) -> Pages {
        stream::unfold((self.0.subscribe(), Some(0)), |(mut progress, at)| async move {
            let mut at = at?;
            loop {
                match page_at(&mut progress, at).await? {
                    Ok(page) if page.is_empty() => at += 1, // own deletions have emptied it
                    Ok(page) => return Some((Ok(page), (progress, Some(at + 1)))),
                    Err(error) => return Some((Err(error), (progress, None))),
                }
            }
        })
        .boxed()
    }
}

/// Ends a listing whose task ends early: that must not look like the end of the list.
struct Growing(Listing);

impl Drop for Growing {
    fn drop(&mut self) {
        if self.0.ended().is_none() {
            self.0.end(Err(aborted()));
        }
    }
}

fn aborted() -> VaultError {
    VaultError::of(VaultErrorKind::Aborted)
}

/// A page as soon as it is there; `None` past the last one.
async fn page_at(listing: &mut watch::Receiver<Progress>, at: usize) -> Option<Result<Page, VaultError>> {
    let settled = listing.wait_for(|progress| progress.pages.len() > at || progress.end.is_some()).await;
    let Ok(progress) = settled else { return Some(Err(aborted())) };
    match (progress.pages.get(at), &progress.end) {
        (Some(page), _) => Some(Ok(Arc::clone(page))),
        (None, Some(End { result: Err(error), .. })) => Some(Err(error.clone())),
        (None, _) => None,
    }
}

impl Progress {
    fn add(&mut self, page: Page) {
        let at = self.pages.len();
        let is_changed = |item: &Item| self.changes.contains_key(&place(item));
        let page = match page.iter().any(is_changed) {
            true => {
                page.iter().filter_map(|item| self.changes.remove(&place(item)).unwrap_or(Some(item.clone()))).collect()
            }
            false => page,
        };
        self.pages.push(page);
        self.index(at);
    }

    fn end(&mut self, result: Result<(), VaultError>) {
        self.end = Some(End { at: Instant::now(), result });
        for (_, item) in std::mem::take(&mut self.changes) {
            item.into_iter().for_each(|item| self.append(item));
        }
    }

    fn change(&mut self, place: &Place, item: Option<Item>) {
        match (self.places.get(place).copied(), item) {
            (Some(at), item) => self.replace(at, item),
            (None, item) if self.end.is_none() => drop(self.changes.insert(place.clone(), item)),
            (None, Some(item)) => self.append(item),
            (None, None) => {}
        }
    }

    fn replace(&mut self, (page, at): (usize, usize), item: Option<Item>) {
        let Some(old) = self.pages.get(page) else { return };
        let (before, after) = (&old[..at], &old[at + 1..]);
        let changed = before.iter().cloned().chain(item).chain(after.iter().cloned()).collect();
        for item in old.iter() {
            self.places.remove(&place(item));
        }
        self.pages[page] = changed;
        self.index(page);
    }

    fn append(&mut self, item: Item) {
        match self.pages.last() {
            Some(last) if last.len() < PAGE => {
                let last: Page = last.iter().cloned().chain([item]).collect();
                self.pages.pop();
                self.pages.push(last);
            }
            Some(_) | None => self.pages.push([item].into()),
        }
        self.index(self.pages.len() - 1);
    }

    fn index(&mut self, page: usize) {
        for (at, item) in self.pages[page].iter().enumerate() {
            self.places.insert(place(item), (page, at));
        }
    }
}

fn place(item: &Item) -> Place {
    (item.name.clone(), item.version)
}
