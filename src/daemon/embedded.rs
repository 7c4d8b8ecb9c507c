//! The embedded vault behind a `demo:` mount, and the credentials for either kind of vault.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Failure;
use super::private_folder::PrivateFolder;
use crate::auth::Credential;
use crate::config::{MountConfig, UsageError};
use crate::emulator::{Emulator, Serving};

/// A new token is made for every call, so it need not live long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// An embedded vault on a socket of its own.
pub(super) struct Embedded {
    vault: Emulator,
    serving: Serving,
    folder: PrivateFolder,
}

impl Embedded {
    /// A vault in memory, with examples in it.
    pub(super) async fn demo() -> Result<Embedded, Failure> {
        let vault = Emulator::in_memory("demo");
        vault.seed_demo()?;
        let folder = PrivateFolder::new().map_err(|error| Failure::system("cannot make a private folder", &error))?;
        let serving = vault.serve_unix(&socket(&folder)).await?;
        Ok(Embedded { vault, serving, folder })
    }

    pub(super) fn base(&self) -> Result<Url, Failure> {
        Url::parse(self.serving.url()).map_err(|error| Failure::other(format!("the embedded vault's URL: {error}")))
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    pub(super) fn credential(&self) -> Credential {
        let vault = self.vault.clone();
        Credential::Issued(Box::new(move || vault.issue_token(TOKEN_LIFETIME)))
    }
}

fn socket(folder: &PrivateFolder) -> PathBuf {
    folder.path().join("vault.sock")
}

/// The credential of a vault that is not embedded.
pub(super) fn token_file(config: &MountConfig) -> Result<Credential, Failure> {
    let path = config.token_file.clone().ok_or(UsageError::TokenFileMissing)?;
    Ok(Credential::from_file(path))
}
