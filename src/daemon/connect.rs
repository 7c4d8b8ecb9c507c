//! A client for the vault that is meant, and the vault itself if it is ours to run.

use tracing::info;

use super::Failure;
use super::embedded::Embedded;
use crate::auth::Credential;
use crate::config::{AccessConfig, VaultConfig};
use crate::vault::http::{HttpSettings, HttpVault};

/// No limit: the embedded vault throttles nobody.
const UNLIMITED: u32 = u32::MAX;

/// What it takes to sign in; `None` with an embedded vault, which has its own. To be gathered before
/// the process has threads, since secrets leave its environment with this.
pub(super) fn credential(access: &AccessConfig) -> Result<Option<Credential>, Failure> {
    match &access.vault {
        VaultConfig::Remote { sign_in, .. } => Ok(Some(Credential::new((**sign_in).clone())?)),
        VaultConfig::Demo | VaultConfig::Local(..) => Ok(None),
    }
}

/// Makes the client; the embedded vault lives for as long as what comes with it.
pub(super) async fn connect(
    access: &AccessConfig,
    credential: Option<Credential>,
) -> Result<(HttpVault, Option<Embedded>), Failure> {
    let settings = |base, socket, max_rps| HttpSettings {
        base,
        socket,
        ca_bundle: access.ca_bundle.clone(),
        api_version: access.api_version.clone(),
        verify_resource: access.verify_resource,
        deadline: access.deadline,
        max_rps,
        page_size: access.page_size,
    };
    let embedded = match (&access.vault, credential) {
        (VaultConfig::Remote { url, sign_in, because }, Some(credential)) => {
            info!(?sign_in, because, "signing in");
            return Ok((HttpVault::new(settings(url.clone(), None, access.max_rps), credential)?, None));
        }
        (VaultConfig::Remote { .. }, None) => {
            return Err(Failure::other("there is nothing to sign in with".to_owned()));
        }
        (VaultConfig::Demo, _) => Embedded::demo().await?,
        (VaultConfig::Local(name, store), _) => Embedded::local(name, store).await?,
    };
    let settings = settings(embedded.base()?, Some(embedded.socket()), UNLIMITED);
    Ok((HttpVault::new(settings, embedded.credential())?, Some(embedded)))
}
