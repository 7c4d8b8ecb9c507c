//! Changes whose answer was lost: what the vault says to the next try is held against what an earlier
//! one may have done.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::operation::Operation;
use super::transport::{Answer, Call};
use super::{HttpVault, failure, named, path, retry, wire};
use crate::vault::settle::BETWEEN_LOOKS;
use crate::vault::{DeletedItem, Item, NewSecret, Secret, SecretName, VaultError, VaultErrorKind};

/// Sets that are sent in all.
const SETS: u32 = 3;

impl HttpVault {
    /// Makes one version, and not two: where an answer was lost, the newest version says whether it is
    /// there already.
    pub(super) async fn set_once(&self, name: &SecretName, call: &Call, new: &NewSecret) -> Result<Secret, VaultError> {
        let deadline = self.pipeline.deadline();
        for lost_ones in 1..SETS {
            let lost = match self.pipeline.exchange_until(call, deadline).await {
                Ok(answer) if is_lost(&answer) => failure::of(&answer),
                Ok(answer) => return wire::secret(failure::checked(answer)?),
                Err(error) if matches!(error.kind, VaultErrorKind::Unreachable(_)) => error,
                Err(error) => return Err(error),
            };
            let wait = retry::between_sets(lost_ones);
            if Instant::now() + wait >= deadline {
                return Err(lost);
            }
            sleep(wait).await;
            match self.newest(name, deadline).await {
                Ok(Some(newest)) if is_same(&newest, new) => return Ok(newest),
                Ok(_) => {}
                Err(_) => return Err(lost), // whether it is there cannot be known
            }
        }
        wire::secret(failure::checked(self.pipeline.exchange_until(call, deadline).await?)?)
    }

    async fn newest(&self, name: &SecretName, deadline: Instant) -> Result<Option<Secret>, VaultError> {
        let answer = self.pipeline.exchange_until(&self.get_call(name, None), deadline).await?;
        if failure::is_not_found(&answer) {
            return Ok(None);
        }
        wire::secret(failure::checked(answer)?).map(Some)
    }

    /// Deletes. A later try that finds nothing, after one that may have deleted it, waits until the
    /// secret shows among the deleted ones.
    pub(super) async fn delete_once(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let deadline = self.pipeline.deadline();
        let call = self.call(Operation::Delete, Method::DELETE, &path(name, None));
        let answer = self.pipeline.exchange_until(&call, deadline).await?;
        if !failure::is_not_found(&answer) {
            return wire::deleted(&failure::checked(answer)?).map(Some);
        }
        if !answer.repeated {
            return Ok(None);
        }
        let look = self.call(Operation::Deleted, Method::GET, &["deletedsecrets", name.as_str()]);
        self.look_until(&look, deadline, |answer| wire::deleted(&answer)).await
    }

    /// Recovers. A later try that meets a secret which is being recovered, or lives, after one that may
    /// have recovered it, waits until it can be read.
    pub(super) async fn recover_once(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        let deadline = self.pipeline.deadline();
        let call = self.call(Operation::Recover, Method::POST, &["deletedsecrets", name.as_str(), "recover"]);
        let answer = self.pipeline.exchange_until(&call, deadline).await?;
        if answer.repeated && is_recovered(&failure::of(&answer)) {
            let look = self.get_call(name, None);
            return self.look_until(&look, deadline, |answer| wire::properties(&answer)).await;
        }
        if failure::is_not_found(&answer) {
            return Ok(None);
        }
        named(name, wire::properties(&failure::checked(answer)?)?).map(Some)
    }

    /// Looks every two seconds until there is something to see. At the deadline, the change is under
    /// way for all that is known.
    async fn look_until<T>(
        &self,
        look: &Call,
        deadline: Instant,
        read: impl Fn(Answer) -> Result<T, VaultError>,
    ) -> Result<Option<T>, VaultError> {
        loop {
            let answer = self.pipeline.exchange_until(look, deadline).await?;
            if !failure::is_not_found(&answer) {
                return read(failure::checked(answer)?).map(Some);
            }
            if Instant::now() + BETWEEN_LOOKS >= deadline {
                return Err(VaultError::of(VaultErrorKind::TimedOut));
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }
}

/// Whether a set may have been carried out, although this is its answer.
fn is_lost(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 500 | 502 | 503 | 504)
}

fn is_recovered(error: &VaultError) -> bool {
    let codes = ["ObjectIsBeingRecovered", "RequestNotAllowedOnNonDeletedObject"];
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

/// Whether a version is what was to be set.
fn is_same(newest: &Secret, new: &NewSecret) -> bool {
    let properties = &newest.properties;
    verify_slices_are_equal(newest.value.expose(), new.value.expose()).is_ok()
        && properties.content_type.as_deref().unwrap_or_default() == new.content_type.as_deref().unwrap_or_default()
        && properties.tags.clone().unwrap_or_default() == new.tags.clone().unwrap_or_default()
        && properties.enabled == new.enabled.unwrap_or(true)
        && (properties.not_before, properties.expires_on) == (new.not_before, new.expires_on)
}
