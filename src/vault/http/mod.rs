//! A vault reached over its REST API.
//!
//! Owns routes, wire types, the challenge and paging. Refuses to hold a cache, to follow redirects,
//! and to show a body to anybody but the caller.

mod challenge;
mod failure;
mod pages;
mod transport;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::{
    Changes, DeletedItem, Found, Item, NewSecret, Pages, Secret, SecretBytes, SecretName, Vault, VaultError,
    VaultErrorKind, VersionId,
};
use crate::auth::Credential;
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
}

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

/// A Key Vault behind HTTP. Cheap to clone: the clones share connections and token.
#[derive(Clone)]
pub struct HttpVault(Arc<Transport>);

impl HttpVault {
    /// A client for the vault; sends nothing yet.
    ///
    /// # Errors
    /// When the CA bundle is unreadable or TLS cannot be set up.
    pub fn new(settings: HttpSettings, credential: Credential) -> Result<HttpVault, HttpSetupError> {
        Ok(HttpVault(Arc::new(Transport::new(settings, credential)?)))
    }

    /// The answer to a call; `None` where the vault says that there is no such secret.
    async fn ask(&self, call: Call) -> Result<Option<Answer>, VaultError> {
        let answer = self.0.exchange(call).await?;
        if failure::is_not_found(&answer) { Ok(None) } else { failure::checked(answer).map(Some) }
    }

    fn call(&self, method: Method, segments: &[&str]) -> Call {
        Call { method, url: self.0.route(segments), body: None }
    }
}

impl Vault for HttpVault {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        let version = version.map(|version| version.to_string());
        let call = self.call(Method::GET, &path(name, version.as_deref()));
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        let secret = wire::secret(answer)?;
        same_name(name, &secret.name)?;
        Ok(Some(Arc::new(secret)))
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let mut call = self.call(Method::PUT, &path(name, None));
        call.body = Some(wire::set_body(&new)?);
        let answer = failure::checked(self.0.exchange(call).await?)?;
        let mut secret = wire::secret(answer)?;
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
        let mut call = self.call(Method::PATCH, &path(name, version.as_deref()));
        call.body = Some(wire::update_body(&changes)?);
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        named(name, wire::properties(&answer)?).map(Some)
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let Some(answer) = self.ask(self.call(Method::DELETE, &path(name, None))).await? else { return Ok(None) };
        wire::deleted(&answer).map(Some)
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        let call = self.call(Method::GET, &["deletedsecrets", name.as_str()]);
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        wire::deleted(&answer).map(Some)
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        let call = self.call(Method::POST, &["deletedsecrets", name.as_str(), "recover"]);
        let Some(answer) = self.ask(call).await? else { return Ok(None) };
        named(name, wire::properties(&answer)?).map(Some)
    }

    async fn purge(&self, name: &SecretName) -> Result<(), VaultError> {
        let call = self.call(Method::DELETE, &["deletedsecrets", name.as_str()]);
        failure::checked(self.0.exchange(call).await?).map(drop)
    }

    async fn backup(&self, name: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        let call = self.call(Method::POST, &["secrets", name.as_str(), "backup"]);
        self.ask(call).await?.map(|answer| wire::blob(&answer)).transpose()
    }

    async fn restore(&self, blob: &SecretBytes) -> Result<Item, VaultError> {
        let mut call = self.call(Method::POST, &["secrets", "restore"]);
        call.body = Some(wire::restore_body(blob)?);
        wire::properties(&failure::checked(self.0.exchange(call).await?)?)
    }

    fn secrets(&self) -> Pages {
        pages::pages(Arc::clone(&self.0), self.0.route(&["secrets"]))
    }

    fn versions(&self, name: &SecretName) -> Pages {
        pages::pages(Arc::clone(&self.0), self.0.route(&["secrets", name.as_str(), "versions"]))
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        pages::pages(Arc::clone(&self.0), self.0.route(&["deletedsecrets"]))
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
