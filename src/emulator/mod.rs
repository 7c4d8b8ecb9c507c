//! The embedded vault: a real HTTP server that behaves as the secrets API of Azure Key Vault does,
//! to any client's eye. It shares no type with the rest of the crate.
//!
//! A request comes in by [`serve`], is checked and answered by [`service`], and looked up in the
//! path table of [`routes`]; [`operations`] turns its words into a call of the [`rules`], the pure
//! state machine over [`model`], and the outcome into the JSON of [`wire`]. [`errors`] holds every
//! refusal, [`faults`] what tests make go wrong; [`direct`] calls the rules without HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::wildcard_imports))]

mod access;
mod answer;
mod api_version;
mod backup;
mod ca;
mod cipher;
mod clock;
mod connection;
mod control;
mod demo;
mod direct;
mod errors;
mod faults;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod identity;
mod keys;
mod limits;
mod managed_identity;
mod model;
mod operations;
mod options;
mod origin;
mod paging;
mod pem;
mod random;
mod record;
mod requests;
mod routes;
mod rules;
mod serve;
mod service;
mod spoil;
mod store;
mod tokens;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

pub use access::{AccessModel, Permission};
pub use clock::Clock;
pub use direct::{Direct, Refused, Seen};
pub use faults::{Fault, FaultRule, Faults, RetryAfter};
pub use identity::{AppCredential, Application};
pub use keys::{KeyError, MasterKey};
pub use managed_identity::ManagedIdentity;
pub use model::{NewSecret, SecretValue, UnixTime};
pub use options::Options;
pub use random::{guid, secret};
pub use requests::RequestSeen;
pub use routes::Operation;
pub use rules::Update;
pub use serve::Serving;
pub use store::StoreError;
pub use tokens::TokenSpec;

/// Why the embedded vault could not do what its owner asked.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The vault's own rules refuse it, as they would refuse a client.
    #[error("the vault refuses: {0}")]
    Refused(String),
    /// Not a name a secret can have.
    #[error("not a secret's name: {0:?} (1 to 127 letters, digits and dashes)")]
    Name(String),
    /// The vault listens on the loopback alone: whoever reaches it could try its tokens.
    #[error("{0} is not a loopback address; the embedded vault serves this machine alone")]
    NotLoopback(SocketAddr),
    /// The socket or address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, #[source] std::io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be written to the disk.
    #[error("the change could not be written to the vault's store; its log has the reason, and it needs a restart")]
    NotKept,
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

/// An embedded vault. Clones are the same vault.
#[derive(Clone)]
pub struct Emulator {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    vault: RwLock<rules::Vault>,
    /// `None` keeps the vault in memory alone.
    store: Option<store::Store>,
    clock: Clock,
    tokens: tokens::TokenSigner,
    backups: backup::BackupKey,
    faults: Faults,
    requests: requests::RequestLog,
    applications: Mutex<Vec<Application>>,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Emulator {
    /// An empty vault in memory. `name` is the vault's name, 3–24 of `[0-9A-Za-z-]`.
    pub fn in_memory(name: &str) -> Emulator {
        Emulator::with_options(name, Options::default())
    }

    /// An empty vault in memory that does as `options` say.
    pub fn with_options(name: &str, options: Options) -> Emulator {
        Emulator::assemble(name, rules::Vault::new(options), None, &MasterKey::from(random::bytes()))
    }

    /// A vault that lasts: it is kept, encrypted with `key`, in a file in `directory`, which is made
    /// where it is missing. A write is acknowledged once it is on the disk.
    ///
    /// Retention and purge protection are the vault's own: it remembers them from when it was made.
    /// Purge protection can be added later, never taken away.
    ///
    /// # Errors
    /// Where the store is in use, damaged, of a newer format, or made with another key or for another
    /// retention, or the disk fails.
    pub fn open(name: &str, directory: &Path, key: &MasterKey, options: Options) -> Result<Emulator, EmulatorError> {
        let mut options = options;
        let (store, secrets) = store::Store::open(directory, key, &mut options)?;
        let vault = rules::Vault::with_secrets(options, secrets);
        Ok(Emulator::assemble(name, vault, Some(store), key))
    }

    fn assemble(name: &str, vault: rules::Vault, store: Option<store::Store>, key: &MasterKey) -> Emulator {
        let mut tenant = [0; 16];
        tenant.copy_from_slice(&key.subkey("tenant")[..16]);
        let inner = Inner {
            name: name.to_owned(),
            backups: backup::BackupKey::new(key.subkey("backups"), &vault.options.geography),
            vault: RwLock::new(vault),
            store,
            clock: Clock::system(),
            tokens: tokens::TokenSigner::new(&key.subkey("tokens"), &random::guid_of(tenant)),
            faults: Faults::new(),
            requests: requests::RequestLog::default(),
            applications: Mutex::default(),
        };
        Emulator { inner: Arc::new(inner) }
    }

    /// The vault's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Fills the vault with examples of everything a mount can show.
    ///
    /// # Errors
    /// Where the example certificate cannot be made, or the vault holds one of the names in a
    /// state that takes no writes.
    pub fn seed_demo(&self) -> Result<(), EmulatorError> {
        demo::seed(self)
    }

    /// A signed bearer token with every permission, good for `lifetime` from now.
    pub fn issue_token(&self, lifetime: Duration) -> String {
        self.issue_token_for(&TokenSpec { lifetime, ..TokenSpec::default() })
    }

    /// A signed bearer token that says what `spec` says.
    pub fn issue_token_for(&self, spec: &TokenSpec) -> String {
        self.inner.tokens.issue(spec, self.inner.clock.now())
    }

    /// Sets a secret directly and gives the new version's identifier, 32 hexadecimal characters
    /// (REST: Set Secret; for managed secrets what a certificate's renewal does).
    ///
    /// # Errors
    /// Where the name is none, or the vault would refuse a client.
    pub fn put(&self, name: &str, secret: NewSecret) -> Result<String, EmulatorError> {
        let parsed = model::SecretName::parse(name);
        let name = parsed.ok_or_else(|| EmulatorError::Name(name.to_owned()))?;
        let (id, now) = (random::version_id(), self.inner.clock.now());
        if self.has_lost_its_store() {
            return Err(EmulatorError::NotKept);
        }
        let kept = {
            let mut vault = self.inner.vault.write();
            let put = if secret.managed { rules::Vault::add_version } else { rules::Vault::set };
            let put = put(&mut vault, &name, secret, id, now).map(|_| ());
            put.map_err(|refusal| EmulatorError::Refused(refusal.message))?;
            self.keep_blocking(&mut vault)
        };
        match kept.recv() {
            Ok(true) => Ok(id.to_string()),
            _ => Err(EmulatorError::NotKept),
        }
    }

    /// Whether the disk has failed. The memory is ahead of it then, and nobody can say by what: every
    /// request is refused.
    fn has_lost_its_store(&self) -> bool {
        self.inner.store.as_ref().is_some_and(store::Store::has_failed)
    }

    /// Sees to it that the vault is kept as it now is; tells once it is. `None` where it is already.
    fn keep(&self, vault: &mut rules::Vault) -> Option<oneshot::Receiver<bool>> {
        let changes = vault.take_changes();
        if changes.is_empty() { self.catch_up(vault) } else { self.tell_when_kept(vault, &changes) }
    }

    /// Tells once what this vault shows is on the disk. `None` where it is already.
    fn catch_up(&self, vault: &rules::Vault) -> Option<oneshot::Receiver<bool>> {
        let is_level = self.inner.store.as_ref().is_none_or(store::Store::is_level);
        if is_level { None } else { self.tell_when_kept(vault, &[]) }
    }

    fn tell_when_kept(&self, vault: &rules::Vault, changes: &[rules::Change]) -> Option<oneshot::Receiver<bool>> {
        let (tell, kept) = oneshot::channel();
        let acknowledge = Box::new(move |on_disk| tell.send(on_disk).unwrap_or_default());
        self.inner.store.as_ref()?.write(vault, changes, acknowledge);
        Some(kept)
    }

    /// The same for who cannot await.
    fn keep_blocking(&self, vault: &mut rules::Vault) -> mpsc::Receiver<bool> {
        let (tell, kept) = mpsc::channel();
        let acknowledge = Box::new(move |on_disk| tell.send(on_disk).unwrap_or_default());
        let changes = vault.take_changes();
        match &self.inner.store {
            Some(store) => store.write(vault, &changes, acknowledge),
            None => acknowledge(true),
        }
        kept
    }

    /// Serves plain HTTP on a Unix socket of mode 0600. A socket file whose server is gone is
    /// replaced; the directory is the caller's. Needs a Tokio runtime.
    ///
    /// # Errors
    /// Where something live, or a file that is no socket, is in the way.
    pub async fn serve_unix(&self, path: &Path) -> Result<Serving, EmulatorError> {
        serve::serve_unix(service::router(self.clone()), path, self.name())
    }

    /// Serves TLS on a loopback address under a certificate of a new private authority, good for
    /// the loopback addresses, `localhost`, `*.localhost` and `*.vault.azure.net`. Port 0 picks
    /// one.
    ///
    /// # Errors
    /// Where the address is no loopback one or is taken.
    pub async fn serve_tls(&self, addr: SocketAddr) -> Result<Serving, EmulatorError> {
        let credentials = ca::make_credentials(self.name());
        let credentials = credentials.map_err(|e| EmulatorError::Certificate(e.to_string()))?;
        serve::serve_tls(service::router(self.clone()), addr, credentials).await
    }

    /// Serves plain HTTP on a loopback address, for clients that take no private authority. Nothing
    /// proves to them that it is the vault which has the port; a token is needed as everywhere.
    ///
    /// # Errors
    /// Where the address is no loopback one or is taken.
    pub async fn serve_http(&self, addr: SocketAddr) -> Result<Serving, EmulatorError> {
        serve::serve_plain(service::router(self.clone()), addr).await
    }

    /// Serves a managed identity's endpoints, plain HTTP as the real ones, on a loopback address:
    /// `/msi/token` for `IDENTITY_ENDPOINT`, and the IMDS path, as the identity says.
    ///
    /// # Errors
    /// Where the address is no loopback one or is taken.
    pub async fn serve_managed_identity(
        &self,
        addr: SocketAddr,
        identity: ManagedIdentity,
    ) -> Result<Serving, EmulatorError> {
        serve::serve_plain(managed_identity::router(self.clone(), identity), addr).await
    }

    /// Serves the control API, JSON without tokens, on a Unix socket of mode 0600: `/clock`,
    /// `/faults`, `/faults/release`, `/requests`, `/tokens`, `/secrets/NAME`.
    ///
    /// # Errors
    /// As [`serve_unix`](Self::serve_unix).
    pub async fn serve_control(&self, path: &Path) -> Result<Serving, EmulatorError> {
        serve::serve_unix(control::router(self.clone()), path, self.name())
    }

    /// Lets an application sign in at `/TENANT/oauth2/v2.0/token` of a vault served over TLS.
    pub fn register(&self, application: Application) {
        self.inner.applications.lock().push(application);
    }

    /// The tenant the vault trusts, a GUID; the challenge names it.
    pub fn tenant(&self) -> Arc<str> {
        self.inner.tokens.tenant()
    }

    /// Moves the vault to another tenant, a GUID, as a change of its subscription's directory does: from
    /// now on tokens of that one alone are good. A vault that is kept comes back in the one it was made in.
    pub fn move_to_tenant(&self, tenant: &str) {
        self.inner.tokens.move_to(tenant);
    }

    /// What goes wrong, and when.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The vault's clock, which tests can move.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What clients asked since the start or the last clearing, in order of arrival; the last 20,000.
    pub fn requests(&self) -> Vec<RequestSeen> {
        self.inner.requests.all()
    }

    /// Empties the record of requests.
    pub fn clear_requests(&self) {
        self.inner.requests.clear();
    }
}
