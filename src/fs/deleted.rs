//! The soft-deleted secrets: what is known of them, and which of them this mount has deleted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::caller::Process;
use super::properties::bundle;
use super::settling::Way;
use super::{Fs, FsError};
use crate::vault::{DeletedItem, Item, Page, Pages, SecretName, Vault};

/// Deletions that are remembered for `akvfs undelete`.
const DELETIONS: usize = 10_000;
/// Answers that are remembered.
const ANSWERS: usize = 10_000;
/// For how long "there is none" is remembered.
const ABSENT_FOR: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct DeletedOnes(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    answers: HashMap<SecretName, (Instant, Option<Arc<DeletedItem>>)>,
    /// Unix seconds, and the name.
    deletions: VecDeque<(i64, SecretName)>,
    deleters: HashSet<Process>,
    /// Secrets whose `properties.json` has been unlinked, as `rm -r` does before it removes the directory.
    emptied: HashSet<SecretName>,
}

impl DeletedOnes {
    fn known(&self, name: &SecretName, ttl: Duration) -> Option<Option<Arc<DeletedItem>>> {
        let memory = self.0.lock();
        let (since, answer) = memory.answers.get(name)?;
        let fresh_for = if answer.is_some() { ttl } else { ttl.min(ABSENT_FOR) };
        (since.elapsed() < fresh_for).then(|| answer.clone())
    }

    fn remember(&self, name: &SecretName, answer: Option<Arc<DeletedItem>>) {
        let mut memory = self.0.lock();
        if memory.answers.len() >= ANSWERS {
            memory.answers.clear();
        }
        memory.answers.insert(name.clone(), (Instant::now(), answer));
    }

    pub(super) fn forget(&self, name: &SecretName) {
        self.0.lock().answers.remove(name);
    }

    pub(super) fn by_this_mount(&self, name: &SecretName, now: i64, by: Process) {
        let mut memory = self.0.lock();
        memory.answers.remove(name);
        memory.deletions.push_back((now, name.clone()));
        if memory.deletions.len() > DELETIONS {
            memory.deletions.pop_front();
        }
        if by != Process::default() {
            memory.deleters.insert(by);
        }
    }

    pub(super) fn back_again(&self, name: &SecretName) {
        let mut memory = self.0.lock();
        memory.answers.remove(name);
        memory.emptied.remove(name);
        memory.deletions.retain(|(_, deleted)| deleted != name);
    }

    pub(super) fn purged(&self, name: &SecretName) {
        self.back_again(name);
    }

    pub(super) fn is_deleter(&self, process: Process) -> bool {
        self.0.lock().deleters.contains(&process)
    }

    pub(super) fn empty(&self, name: &SecretName) {
        self.0.lock().emptied.insert(name.clone());
    }

    pub(super) fn is_emptied(&self, name: &SecretName) -> bool {
        self.0.lock().emptied.contains(name)
    }

    /// Time and name of what this mount has deleted and not brought back, oldest first.
    pub(super) fn deletions(&self) -> Vec<(i64, SecretName)> {
        self.0.lock().deletions.iter().cloned().collect()
    }
}

impl<V: Vault> Fs<V> {
    /// A soft-deleted secret, as this mount shows it.
    pub(super) async fn deleted(&self, name: &SecretName) -> Result<Option<Arc<DeletedItem>>, FsError> {
        match self.work.settling.way(name) {
            Some(Way::Deleting(Some(item))) => return Ok(Some(item)),
            Some(Way::Deleting(None)) => return Ok(Some(Arc::new(unknown(name)))),
            Some(Way::Recovering(_) | Way::Purging) => return Ok(None),
            None => {}
        }
        if let Some(known) = self.work.deleted.known(name, self.settings.ttl) {
            return Ok(known);
        }
        let found = self.vault.deleted(name).await;
        let found = match found {
            // A disabled secret is refused even here, and listed all the same.
            Err(error) if error.is_definite() => self.listed_as_deleted(name).await.ok_or(error).map(Some)?,
            found => found?,
        };
        let found = found.map(Arc::new);
        self.work.deleted.remember(name, found.clone());
        Ok(found)
    }

    async fn listed_as_deleted(&self, name: &SecretName) -> Option<DeletedItem> {
        let mut pages = self.vault.deleted_secrets();
        while let Some(Ok(page)) = pages.next().await {
            if let Some(item) = page.iter().find(|deleted| deleted.item.name == *name) {
                return Some(item.clone());
            }
        }
        None
    }

    /// The listing of deleted secrets, as a directory reads it. It grows in a task of its own, since who
    /// reads a directory looks for the next page outside of the runtime.
    pub(super) fn deleted_pages(self: &Arc<Self>) -> Pages {
        let fs = Arc::clone(self);
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut pages = fs.vault.deleted_secrets();
            while let Some(page) = pages.next().await {
                let page = page.map(|page| fs.remembered(&page));
                if sender.send(page).is_err() {
                    return; // nobody reads on
                }
            }
        });
        stream::unfold(receiver, |mut pages| async { pages.recv().await.map(|page| (page, pages)) }).boxed()
    }

    fn remembered(&self, page: &Page<DeletedItem>) -> Page<Item> {
        for deleted in page.iter() {
            self.work.deleted.remember(&deleted.item.name, Some(Arc::new(deleted.clone())));
        }
        page.iter().map(|deleted| deleted.item.clone()).collect()
    }
}

/// What is shown of a deletion whose answer was lost.
fn unknown(name: &SecretName) -> DeletedItem {
    let properties = crate::vault::Properties {
        id: format!("secrets/{name}").into(),
        content_type: None,
        enabled: true,
        not_before: None,
        expires_on: None,
        created_on: 0,
        updated_on: 0,
        recovery_level: None,
        recoverable_days: None,
        tags: None,
        managed: false,
        key_id: None,
        previous_version: None,
    };
    let item = Item { name: name.clone(), version: None, properties };
    DeletedItem { item, recovery_id: None, deleted_on: None, scheduled_purge_on: None }
}

/// The text of a deleted secret's `properties.json`.
pub(super) fn rendered(deleted: &DeletedItem) -> String {
    let mut all = bundle(&deleted.item.properties);
    if let Some(id) = deleted.recovery_id.as_deref() {
        all.insert("recoveryId".to_owned(), json!(id));
    }
    for (key, date) in [("deletedDate", deleted.deleted_on), ("scheduledPurgeDate", deleted.scheduled_purge_on)] {
        if let Some(date) = date {
            all.insert(key.to_owned(), json!(date));
        }
    }
    format!("{:#}\n", serde_json::Value::Object(all))
}
