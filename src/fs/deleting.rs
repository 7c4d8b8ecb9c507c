//! Deleting, recovering, purging.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Done;
use super::caller::{Caller, Process};
use super::commit::is_lost;
use super::desk::Hidden;
use super::settling::Way;
use super::{Fs, FsError, now_unix};
use crate::vault::{SecretName, Vault, VaultError, VaultErrorKind};

/// An unlinked `current` that is not written again within this time takes the secret with it.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

impl<V: Vault> Fs<V> {
    /// `current` has been unlinked: hidden at once, and the secret is deleted soon, unless it is written
    /// again.
    pub(super) fn unlink_current(self: &Arc<Self>, name: &SecretName, caller: &Caller) -> Result<(), FsError> {
        self.work.settling.check(name)?;
        self.work.brake.check(self.settings.writing.delete_limit, self.unlinked().len())?;
        self.refuse_managed(name)?;
        let since = Instant::now();
        let is_pending = self.work.desk(name, |desk| {
            if !desk.shows_current() {
                return Err(FsError::NotFound);
            }
            if desk.pending.is_none() {
                desk.hidden = Some(Hidden::Unlinked(since));
                desk.signed_by(caller.process);
            }
            Ok(desk.pending.is_some())
        })?;
        if is_pending {
            return Ok(());
        }
        let (fs, name, process) = (Arc::clone(self), name.clone(), caller.process);
        tokio::spawn(async move {
            tokio::time::sleep(SECOND_THOUGHTS).await;
            let still = fs.work.desk(&name, |desk| desk.hidden == Some(Hidden::Unlinked(since)));
            if still && let Err(error) = fs.delete(&name, process).await {
                tracing::warn!("{name} was unlinked, but is not deleted: {error}");
            }
        });
        Ok(())
    }

    /// The certificate's own secret cannot be deleted; its properties, where known, say so before the vault
    /// has to.
    fn refuse_managed(&self, name: &SecretName) -> Result<(), FsError> {
        let known = self.vault.known_item(name).and_then(|known| known.answer);
        match known {
            Some(item) if item.properties.managed => {
                Err(FsError::NotPermitted("the secret belongs to a certificate: delete the certificate instead".into()))
            }
            _ => Ok(()),
        }
    }

    /// Secrets whose `current` has been unlinked and that are not deleted yet.
    pub(super) fn unlinked(&self) -> Vec<SecretName> {
        let desks = self.work.desks.lock();
        desks.iter().filter(|(_, desk)| desk.is_unlinked()).map(|(name, _)| name.clone()).collect()
    }

    /// Does now what an unlinked `current` has coming.
    pub(super) async fn delete_unlinked(self: &Arc<Self>, name: &SecretName) -> Result<(), FsError> {
        if !self.work.desk(name, |desk| desk.is_unlinked()) {
            return Ok(());
        }
        let (fs, name) = (Arc::clone(self), name.clone());
        let _flying = self.work.in_flight.one();
        let task = tokio::spawn(async move { fs.delete(&name, Process::default()).await });
        task.await.unwrap_or(Err(FsError::Broken))
    }

    /// Deletes a secret with all its versions. The answer comes when the vault has agreed.
    pub(super) async fn delete(self: &Arc<Self>, name: &SecretName, by: Process) -> Result<(), FsError> {
        let lock = self.work.locks.of(name);
        let _one_at_a_time = lock.lock().await;
        self.work.settling.check(name)?;
        let deleted = match self.work.brake.count(self.settings.writing.delete_limit) {
            Ok(()) => self.ask_to_delete(name).await,
            Err(error) => Err(error),
        };
        let deleted = deleted.inspect_err(|error| {
            // It is there all the same: what hid it is lifted.
            self.work.desk(name, |desk| desk.hidden = None);
            self.work.refusals.note(&crate::tree::Node::Secret(name.clone()), error);
        })?;
        self.work.desks.lock().remove(name);
        self.work.deleted.by_this_mount(name, now_unix(), by);
        self.settle(name, Way::Deleting(deleted.map(Arc::new))).await;
        Ok(())
    }

    async fn ask_to_delete(self: &Arc<Self>, name: &SecretName) -> Result<Option<crate::vault::DeletedItem>, FsError> {
        let (fs, asked) = (Arc::clone(self), name.clone());
        match self.on_the_wire(async move { fs.vault.delete(&asked).await }).await {
            Ok(Some(item)) => Ok(Some(item)),
            Ok(None) => Err(FsError::NotFound),
            Err(error) if is_lost(&error) => match self.vault.get_now(name, None).await {
                Ok(None) => Ok(None), // its answer was lost, but it has been carried out
                Ok(Some(_)) | Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Brings a soft-deleted secret back. The answer comes when the vault has agreed.
    pub(super) async fn recover(self: &Arc<Self>, name: &SecretName) -> Result<(), FsError> {
        let lock = self.work.locks.of(name);
        let _one_at_a_time = lock.lock().await;
        self.recover_locked(name).await
    }

    /// The same, for who holds the secret's lock.
    pub(super) async fn recover_locked(self: &Arc<Self>, name: &SecretName) -> Result<(), FsError> {
        self.work.settling.check(name)?;
        let (fs, asked) = (Arc::clone(self), name.clone());
        let recovered = match self.on_the_wire(async move { fs.vault.recover(&asked).await }).await {
            Ok(Some(item)) => item,
            Ok(None) => return Err(FsError::NotFound),
            Err(error) if is_lost(&error) || is_live_already(&error) => match self.vault.get_now(name, None).await {
                Ok(Some(_)) => {
                    self.work.deleted.forget(name);
                    return Ok(());
                }
                Ok(None) | Err(_) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        self.work.deleted.back_again(name);
        self.settle(name, Way::Recovering(Arc::new(recovered))).await;
        Ok(())
    }

    /// Ends a soft-deleted secret for good.
    pub(super) async fn purge(self: &Arc<Self>, name: &SecretName) -> Result<(), FsError> {
        let lock = self.work.locks.of(name);
        let _one_at_a_time = lock.lock().await;
        self.work.settling.check(name)?;
        let (fs, asked) = (Arc::clone(self), name.clone());
        if let Err(error) = self.on_the_wire(async move { fs.vault.purge(&asked).await }).await {
            let gone = is_lost(&error) && matches!(self.vault.deleted(name).await, Ok(None));
            if !gone {
                return Err(error.into());
            }
        }
        self.work.deleted.purged(name);
        self.settle(name, Way::Purging).await;
        Ok(())
    }

    /// Whether this process may purge.
    ///
    /// # Errors
    /// Without `--allow-purge`, and for a process that has deleted here: one careless command must not be
    /// the end of a vault.
    pub(super) fn may_purge(&self, caller: &Caller) -> Result<(), FsError> {
        if !self.settings.writing.allow_purge {
            return Err(FsError::NotPermitted(
                "a purge cannot be taken back, so it takes a mount with --allow-purge; to bring the secret back: \
                 mv deleted/NAME secrets/"
                    .into(),
            ));
        }
        if self.work.deleted.is_deleter(caller.process) {
            return Err(FsError::NotPermitted(
                "this process has deleted secrets here, and must not purge as well: use another command for that"
                    .into(),
            ));
        }
        Ok(())
    }

    /// What a deletion or recovery is answered with: at once, or when it is true.
    pub(super) fn agreed<T>(self: &Arc<Self>, value: T, name: &SecretName) -> Done<T> {
        let writing = &self.settings.writing;
        if !writing.wait_to_settle {
            return Done::from(value);
        }
        let (fs, name, limit) = (Arc::clone(self), name.clone(), writing.settle_timeout);
        let settled = async move { fs.work.settling.wait(&name, limit).await };
        Done { value, settled: Some(Box::pin(settled)) }
    }

    /// Ends what is under way: writes in flight, and deletions that wait for second thoughts.
    pub async fn finish(self: &Arc<Self>) {
        for name in self.unlinked() {
            if let Err(error) = self.delete_unlinked(&name).await {
                tracing::warn!("{name} was unlinked, but is not deleted: {error}");
            }
        }
        self.work.in_flight.none().await;
    }
}

fn is_live_already(error: &VaultError) -> bool {
    error.kind == VaultErrorKind::Rejected(400) && error.code.as_deref() == Some("RequestNotAllowedOnNonDeletedObject")
}
