//! What `akvfs mount` waits for before the mount is there.

use futures_util::StreamExt;
use tokio::time::timeout;
use tracing::warn;

use super::Failure;
use crate::config::{Readiness, ReadyWhen};
use crate::vault::{Vault, VaultError, VaultErrorKind};

/// Waits until the vault is as ready as it has to be. A whole listing goes through the cache, which keeps
/// it for the first `ls`.
///
/// # Errors
/// What the vault said, or that it said nothing in time.
pub(super) async fn reach(vault: &impl Vault, cache: &impl Vault, readiness: &Readiness) -> Result<(), Failure> {
    let reached = async {
        match readiness.when {
            ReadyWhen::Mounted => Ok(()),
            ReadyWhen::Authenticated => list(vault, 1).await,
            ReadyWhen::Listed => list(cache, usize::MAX).await,
        }
    };
    let too_late = |_| Err(VaultError::of(VaultErrorKind::TimedOut));
    match timeout(readiness.limit, reached).await.unwrap_or_else(too_late) {
        Err(VaultError { kind: VaultErrorKind::Denied(denial), .. }) if denial.is_permission() => {
            warn!("the vault does not let us list: files can be opened by name only");
            Ok(())
        }
        result => Ok(result?),
    }
}

/// One page of the listing shows whether the vault is there and lets us in. It need not let us list:
/// who may only get is let in as well.
async fn list(vault: &impl Vault, pages: usize) -> Result<(), VaultError> {
    let mut listing = vault.secrets().take(pages);
    while let Some(page) = listing.next().await {
        page?;
    }
    Ok(())
}
