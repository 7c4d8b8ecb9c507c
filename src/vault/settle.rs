//! Waits for what a vault says yes to long before it is done: deletions and recoveries.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{DeletedItem, Found, SecretName, Vault, VaultError, VaultErrorKind};

/// Between two looks, as the official clients have it.
pub const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// How a deletion or recovery stands.
#[derive(Clone, Debug)]
pub enum Settling<T> {
    /// It is done, and this is to be seen.
    Settled(T),
    /// It counts as done: the vault does not let us see it (403), which the official clients take for
    /// that. A disabled secret is never shown.
    Hidden,
    /// It is not done yet.
    UnderWay,
}

/// How the deletion of a secret stands now.
///
/// # Errors
/// What the vault says, save a 403.
pub async fn deletion<V: Vault>(vault: &V, name: &SecretName) -> Result<Settling<DeletedItem>, VaultError> {
    standing(vault.deleted(name).await)
}

/// How the recovery of a secret stands now.
///
/// # Errors
/// What the vault says, save a 403.
pub async fn recovery<V: Vault>(vault: &V, name: &SecretName) -> Result<Settling<()>, VaultError> {
    let found: Found = vault.get_now(name, None).await;
    standing(found.map(|found| found.map(drop)))
}

/// Looks every two seconds, at once first, until what was begun has settled; at most until the deadline,
/// and then says [`Settling::UnderWay`].
///
/// # Errors
/// What the look says; a passing failure ends the wait as well, and the look may be taken up again.
pub async fn until_settled<T, L>(deadline: Instant, mut look: impl FnMut() -> L) -> Result<Settling<T>, VaultError>
where
    L: Future<Output = Result<Settling<T>, VaultError>>,
{
    loop {
        let standing = look().await?;
        if !matches!(standing, Settling::UnderWay) || Instant::now() + BETWEEN_LOOKS > deadline {
            return Ok(standing);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Sends a call again every two seconds while the vault says that the secret is being deleted or
/// recovered; at most until the deadline.
///
/// # Errors
/// What the call says.
pub async fn once_settled<T, C>(deadline: Instant, mut call: impl FnMut() -> C) -> Result<T, VaultError>
where
    C: Future<Output = Result<T, VaultError>>,
{
    loop {
        match call().await {
            Err(VaultError { kind: VaultErrorKind::Conflict, .. }) if Instant::now() + BETWEEN_LOOKS <= deadline => {
                sleep(BETWEEN_LOOKS).await;
            }
            outcome => return outcome,
        }
    }
}

fn standing<T>(seen: Result<Option<T>, VaultError>) -> Result<Settling<T>, VaultError> {
    match seen {
        Ok(Some(seen)) => Ok(Settling::Settled(seen)),
        Ok(None) => Ok(Settling::UnderWay),
        Err(VaultError { kind: VaultErrorKind::Disabled | VaultErrorKind::Denied(_), .. }) => Ok(Settling::Hidden),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::double::{Double, name};
    use crate::vault::{Denial, Permission};

    #[tokio::test(start_paused = true)]
    async fn a_deletion_is_looked_at_every_two_seconds_until_it_is_done() {
        let vault = Double::with(&[("a", "x")]);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(180);
        let (a, b) = (name("a"), name("b"));
        let (waited, ()) = tokio::join!(until_settled(deadline, || deletion(&vault, &a)), async {
            sleep(Duration::from_secs(17)).await;
            vault.delete(&a).await.unwrap();
        });
        assert!(matches!(waited, Ok(Settling::Settled(_))));
        assert_eq!(start.elapsed().as_secs(), 18);
        let later = Instant::now() + Duration::from_secs(5);
        let absent = until_settled(later, || deletion(&vault, &b)).await;
        assert!(matches!(absent, Ok(Settling::UnderWay)));
        assert_eq!(start.elapsed().as_secs(), 22);
    }

    #[tokio::test(start_paused = true)]
    async fn a_403_counts_as_done_and_other_errors_do_not() {
        let vault = Double::with(&[]);
        for kind in [VaultErrorKind::Disabled, VaultErrorKind::Denied(Denial::Policy(Permission::Get))] {
            *vault.error.lock() = Some(VaultError::of(kind));
            assert!(matches!(deletion(&vault, &name("a")).await, Ok(Settling::Hidden)));
            assert!(matches!(recovery(&vault, &name("a")).await, Ok(Settling::Hidden)));
        }
        *vault.error.lock() = Some(VaultError::of(VaultErrorKind::TimedOut));
        assert!(recovery(&vault, &name("a")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_sent_again_while_the_secret_settles() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(60);
        let conflict = || VaultError::of(VaultErrorKind::Conflict);
        let call = || async { if start.elapsed() < Duration::from_secs(19) { Err(conflict()) } else { Ok(7) } };
        assert_eq!(once_settled(deadline, call).await, Ok(7));
        assert_eq!(start.elapsed().as_secs(), 20);
        let never = once_settled(Instant::now() + Duration::from_secs(5), || async { Err::<(), _>(conflict()) });
        assert_eq!(never.await, Err(conflict()));
        assert_eq!(start.elapsed().as_secs(), 24);
    }
}
