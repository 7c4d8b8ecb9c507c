//! What the vault has agreed to and not finished: it takes 17 s from an accepted delete to a deleted
//! secret, and 19 s from an accepted recovery to a readable one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::{Fs, FsError};
use crate::tree::Node;
use crate::vault::settle::{self, BETWEEN_LOOKS};
use crate::vault::{DeletedItem, Item, SecretName, Vault, VaultError};

/// A vault that is done at once is seen to be within this; a slow one costs the caller no more.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// After this the vault is believed whatever it shows: it has never been seen to take half as long.
const GIVE_UP: Duration = Duration::from_secs(900);

/// What is not finished.
#[derive(Default)]
pub(super) struct Settling(Mutex<HashMap<SecretName, Unsettled>>);

/// Where to a secret is on its way.
#[derive(Clone)]
pub(super) enum Way {
    /// To the deleted ones.
    Deleting(Option<Arc<DeletedItem>>),
    /// Back to the live ones.
    Recovering(Arc<Item>),
    /// Nowhere.
    Purging,
}

struct Unsettled {
    way: Way,
    since: Instant,
    settled: watch::Sender<bool>,
}

impl Settling {
    pub(super) fn way(&self, name: &SecretName) -> Option<Way> {
        self.0.lock().get(name).map(|unsettled| unsettled.way.clone())
    }

    pub(super) fn is_recovering(&self, name: &SecretName) -> bool {
        matches!(self.way(name), Some(Way::Recovering(_)))
    }

    pub(super) fn all(&self) -> Vec<(SecretName, Way)> {
        self.0.lock().iter().map(|(name, unsettled)| (name.clone(), unsettled.way.clone())).collect()
    }

    /// Whether the secret has arrived where it was sent.
    ///
    /// # Errors
    /// Busy, since when, and how long it usually takes.
    pub(super) fn check(&self, name: &SecretName) -> Result<(), FsError> {
        let unsettled = self.0.lock();
        let Some(Unsettled { way, since, .. }) = unsettled.get(name) else { return Ok(()) };
        let (what, usual) = match way {
            Way::Deleting(_) => ("deleting", 17),
            Way::Recovering(_) => ("recovering", 19),
            Way::Purging => ("purging", 20),
        };
        let since = since.elapsed().as_secs();
        Err(FsError::Busy(
            format!(
                "the vault has been {what} {name} for {since} s, which usually takes {usual}: wait with `akvfs wait PATH`"
            )
            .into(),
        ))
    }

    fn begin(&self, name: &SecretName, way: Way) {
        let unsettled = Unsettled { way, since: Instant::now(), settled: watch::Sender::new(false) };
        self.0.lock().insert(name.clone(), unsettled);
    }

    fn end(&self, name: &SecretName) {
        if let Some(unsettled) = self.0.lock().remove(name) {
            unsettled.settled.send_replace(true);
        }
    }

    fn is_late(&self, name: &SecretName) -> bool {
        self.0.lock().get(name).is_none_or(|unsettled| unsettled.since.elapsed() >= GIVE_UP)
    }

    /// Waits until the secret has arrived.
    ///
    /// # Errors
    /// When it has not within the limit; what was agreed still goes on.
    pub(super) async fn wait(&self, name: &SecretName, limit: Duration) -> Result<(), FsError> {
        let Some(mut settled) = self.0.lock().get(name).map(|unsettled| unsettled.settled.subscribe()) else {
            return Ok(());
        };
        // A sender that is gone has been replaced by another one, or has sent before it went.
        timeout(limit, settled.wait_for(|settled| *settled)).await.map(drop).map_err(|_| FsError::TimedOut)
    }
}

impl<V: Vault> Fs<V> {
    /// The vault has agreed: the tree shows the outcome from now on, and a poller follows until it is true.
    pub(super) async fn settle(self: &Arc<Self>, name: &SecretName, way: Way) {
        self.work.settling.begin(name, way.clone());
        let (fs, polled) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            let name = polled;
            while !fs.has_settled(&name, &way).await && !fs.work.settling.is_late(&name) {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            fs.work.deleted.forget(&name);
            fs.work.settling.end(&name);
        });
        let _ = self.work.settling.wait(name, FIRST_LOOK).await; // the poller goes on
    }

    async fn has_settled(&self, name: &SecretName, way: &Way) -> bool {
        match way {
            Way::Deleting(_) => has_come(settle::deletion(&self.vault, name).await),
            Way::Recovering(_) => has_come(settle::recovery(&self.vault, name).await),
            Way::Purging => !matches!(self.vault.deleted(name).await, Ok(Some(_))),
        }
    }

    /// Waits for whatever is not finished at a place, or below it (FSYNCDIR). The kernel lets nobody else
    /// into the directory meanwhile.
    pub fn fsyncdir(self: &Arc<Self>, inode: u64) -> Answer<()> {
        self.once_settled(inode, ())
    }

    /// Gives a value when whatever is not finished at a place, or below it, is: what a poller's wait is.
    pub(super) fn once_settled<T: Send + 'static>(self: &Arc<Self>, inode: u64, value: T) -> Answer<T> {
        let names = match self.node(inode) {
            Some(Node::Root | Node::Secrets | Node::Deleted | Node::Values | Node::Backups) => {
                self.work.settling.all().into_iter().map(|(name, _)| name).chain(self.unlinked()).collect()
            }
            Some(node) => node.secret().cloned().into_iter().collect::<Vec<_>>(),
            None => return Answer::refused(FsError::NotFound),
        };
        let fs = Arc::clone(self);
        let waiting = async move {
            for name in &names {
                fs.delete_unlinked(name).await?;
            }
            let deadline = Instant::now() + fs.settings.writing.settle_timeout;
            for name in &names {
                fs.work.settling.wait(name, deadline.saturating_duration_since(Instant::now())).await?;
            }
            Ok(value)
        };
        match Answer::of(waiting) {
            Answer::Later(work) => Answer::Settling(work),
            settled => settled,
        }
    }
}

fn has_come<T>(look: Result<settle::Settling<T>, VaultError>) -> bool {
    matches!(look, Ok(settle::Settling::Settled(_) | settle::Settling::Hidden))
}
