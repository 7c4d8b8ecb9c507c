//! The embedded vault behind a `demo:` or `local:` mount.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use url::Url;

use super::Failure;
use super::private_folder::PrivateFolder;
use crate::auth::Credential;
use crate::config::LocalStore;
use crate::emulator::{Emulator, EmulatorError, MasterKey, Options, Serving, StoreError};

/// A new token is made for every call, so it need not live long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// For how long a store that is in use is waited for.
const RELEASE: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile: whoever mounts again waits on a process that ends within some
/// milliseconds.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

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
        Embedded::serve(vault).await
    }

    /// A vault that lasts.
    pub(super) async fn local(name: &str, store: &LocalStore) -> Result<Embedded, Failure> {
        Embedded::serve(open_when_free(name, store).await?).await
    }

    async fn serve(vault: Emulator) -> Result<Embedded, Failure> {
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
        Credential::issued(Box::new(move || vault.issue_token(TOKEN_LIFETIME)))
    }
}

/// Opens a vault that lasts, which is made on first use.
pub(super) fn open(name: &str, store: &LocalStore, options: Options) -> Result<Emulator, Failure> {
    Ok(Emulator::open(name, &store.directory, &key(store)?, options)?)
}

/// The same, soon after a mount of it has been unmounted: the process behind that takes a moment to end.
async fn open_when_free(name: &str, store: &LocalStore) -> Result<Emulator, Failure> {
    let (key, start) = (key(store)?, Instant::now());
    loop {
        match Emulator::open(name, &store.directory, &key, Options::default()) {
            Err(EmulatorError::Store(StoreError::InUse(_))) if start.elapsed() < RELEASE => {
                sleep(BETWEEN_LOOKS).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// The store's key, and the folder for it and the store.
fn key(store: &LocalStore) -> Result<MasterKey, Failure> {
    let cannot = |error: io::Error| Failure::system(&format!("cannot make {}", store.directory.display()), &error);
    DirBuilder::new().recursive(true).mode(0o700).create(&store.directory).map_err(cannot)?;
    let key = match &store.key_file {
        Some(path) => MasterKey::from_file(path),
        None => MasterKey::beside_store(&store.directory),
    };
    key.map_err(|error| Failure::other(error.to_string()))
}

fn socket(folder: &PrivateFolder) -> PathBuf {
    folder.path().join("vault.sock")
}
