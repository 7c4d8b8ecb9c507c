//! A vault reached over its REST API.
//!
//! Owns routes, wire types, the challenge, paging, retries and the vault's limits. Refuses to hold a
//! cache, to follow redirects, and to show a body to anybody but the caller.
//!
//! A call passes, from the outside in: `pipeline` (deadline, tries), `throttle` and `breaker` (whether
//! the vault may be asked now), `session` (the token), `transport` (one request). What is sent again,
//! and when, is `retry`'s table.

mod breaker;
mod bucket;
mod challenge;
#[cfg(test)]
pub(crate) mod double;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod operation;
mod pages;
mod pipeline;
mod raw;
mod repeats;
mod retry;
mod session;
mod throttle;
mod transport;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::{
    Changes, DeletedItem, Found, Item, NewSecret, OutContentType, Pages, Secret, SecretBytes, SecretName, Vault,
    VaultError, VaultErrorKind, VersionId,
};
use crate::auth::{Credential, cause};
use operation::Operation;
use pipeline::Pipeline;
pub use raw::{RawAnswer, RawCall, RawCallError, RawOutcome};
use transport::{Answer, Call, Transport};

/// How to reach a vault.
pub struct HttpSettings {
    /// Scheme, host and port: `https`, save over a Unix socket.
    pub base: Url,
    /// A Unix socket to connect to, in place of the host.
    pub socket: Option<PathBuf>,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The `api-version` of every call.
    pub api_version: String,
    /// Whether the challenge's resource must be a parent domain of the host.
    pub verify_resource: bool,
    /// Time limit of one call, all its tries included.
    pub deadline: Duration,
    /// Requests a second, in the long run.
    pub max_rps: u32,
    /// Entries in a page of a listing, 1 to 25; `None` for as many as the vault likes.
    pub page_size: Option<u8>,
}

impl HttpSettings {
    /// The usual settings for a vault behind https.
    pub fn of(base: Url) -> HttpSettings {
        HttpSettings {
            base,
            socket: None,
            ca_bundle: None,
            api_version: API_VERSION.to_owned(),
            verify_resource: true,
            deadline: Duration::from_secs(10),
            max_rps: 100,
            page_size: None,
        }
    }
}

/// The newest version of the API whose answers have been seen.
pub const API_VERSION: &str = "2025-07-01";

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The CA bundle cannot be used.
    #[error("cannot use the CA bundle {path}: {why}")]
    CaBundle {
        /// As given by `--ca-bundle`.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library would not start.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// A Key Vault behind HTTP. Cheap to clone: the clones share connections, token and limits.
#[derive(Clone)]
pub struct HttpVault {
    pipeline: Arc<Pipeline>,
    page_size: Option<u8>,
}

impl HttpVault {
    /// A client for the vault; sends nothing yet. Its connections are closed when the last clone is
    /// dropped.
    ///
    /// # Errors
    /// When the CA bundle is unreadable or TLS cannot be set up.
    pub fn new(settings: HttpSettings, credential: Credential) -> Result<HttpVault, HttpSetupError> {
        let transport = Transport::new(&settings)?;
        let tls = |error| HttpSetupError::Tls(cause(&error));
        let tokens = credential.provider(transport.client()).map_err(tls)?;
        let pipeline = Arc::new(Pipeline::new(transport, tokens, &settings));
        Ok(HttpVault { pipeline, page_size: settings.page_size })
    }

    /// The answer to a call; `None` where the vault says that there is no such secret.
    async fn ask(&self, call: Call) -> Result<Option<Answer>, VaultError> {
        let answer = self.pipeline.exchange(&call).await?;
        if failure::is_not_found(&answer) { Ok(None) } else { failure::checked(answer).map(Some) }
    }

    fn call(&self, operation: Operation, method: Method, segments: &[&str]) -> Call {
        Call { operation, method, url: self.pipeline.transport().route(segments), body: None }
    }

    fn get_call(&self, name: &SecretName, version: Option<VersionId>) -> Call {
        let version = version.map(|version| version.to_string());
        self.call(Operation::Get, Method::GET, &path(name, version.as_deref()))
    }

    async fn secret(&self, name: &SecretName, call: Call) -> Found {
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        let secret = wire::secret(answer)?;
        same_name(name, &secret.name)?;
        Ok(Some(Arc::new(secret)))
    }

    fn pages<T: wire::ListItem>(&self, segments: &[&str]) -> Pages<T> {
        let mut first = self.pipeline.transport().route(segments);
        if let Some(size) = self.page_size {
            first.query_pairs_mut().append_pair("maxresults", &size.to_string());
        }
        pages::pages(Arc::clone(&self.pipeline), first)
    }
}

impl Vault for HttpVault {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        self.secret(name, self.get_call(name, version)).await
    }

    async fn get_as(&self, name: &SecretName, version: Option<VersionId>, form: OutContentType) -> Found {
        let mut call = self.get_call(name, version);
        call.url.query_pairs_mut().append_pair("outContentType", form.as_str());
        self.secret(name, call).await
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let mut call = self.call(Operation::Set, Method::PUT, &path(name, None));
        call.body = Some(wire::set_body(&new)?);
        let mut secret = self.set_once(name, &call, &new).await?;
        same_name(name, &secret.name)?;
        secret.value = new.value;
        Ok(Arc::new(secret))
    }

    async fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> Result<Option<Item>, VaultError> {
        let version = version.map(|version| version.to_string());
        let mut call = self.call(Operation::Update, Method::PATCH, &path(name, version.as_deref()));
        call.body = Some(wire::update_body(&changes)?);
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        named(name, wire::properties(&answer)?).map(Some)
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        self.delete_once(name).await
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let call = self.call(Operation::Deleted, Method::GET, &["deletedsecrets", name.as_str()]);
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        wire::deleted(&answer).map(Some)
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        self.recover_once(name).await
    }

    async fn purge(&self, name: &SecretName) -> Result<(), VaultError> {
        let call = self.call(Operation::Purge, Method::DELETE, &["deletedsecrets", name.as_str()]);
        let answer = self.pipeline.exchange(&call).await?;
        if answer.repeated && failure::is_not_found(&answer) {
            return Ok(()); // an earlier try has done it
        }
        match failure::checked(answer)?.status {
            204 => Ok(()),
            // Whoever says so in between has purged nothing.
            status => Err(failure::not_key_vault(format!("HTTP {status} where Key Vault says 204"))),
        }
    }

    async fn backup(&self, name: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        let call = self.call(Operation::Backup, Method::POST, &["secrets", name.as_str(), "backup"]);
        self.ask(call).await?.map(|answer| wire::blob(&answer)).transpose()
    }

    async fn restore(&self, blob: &SecretBytes) -> Result<Item, VaultError> {
        let mut call = self.call(Operation::Restore, Method::POST, &["secrets", "restore"]);
        call.body = Some(wire::restore_body(blob)?);
        wire::properties(&failure::checked(self.pipeline.exchange(&call).await?)?)
    }

    fn secrets(&self) -> Pages {
        self.pages(&["secrets"])
    }

    fn versions(&self, name: &SecretName) -> Pages {
        self.pages(&["secrets", name.as_str(), "versions"])
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        self.pages(&["deletedsecrets"])
    }
}

fn path<'a>(name: &'a SecretName, version: Option<&'a str>) -> Vec<&'a str> {
    ["secrets", name.as_str()].into_iter().chain(version).collect()
}

fn named(asked: &SecretName, item: Item) -> Result<Item, VaultError> {
    same_name(asked, &item.name).map(|()| item)
}

/// A proxy that mixes up answers must not make one secret pass for another.
fn same_name(asked: &SecretName, answered: &SecretName) -> Result<(), VaultError> {
    if asked == answered {
        return Ok(());
    }
    Err(VaultError::of(VaultErrorKind::NotKeyVault(format!("asked for {asked}, got {answered}").into())))
}
