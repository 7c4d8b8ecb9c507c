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

use super::{Found, NewSecret, Pages, Secret, SecretName, Vault, VaultError, VaultErrorKind, VersionId};
use crate::auth::Credential;
use transport::{Call, Transport};

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

    fn secret_call(&self, method: Method, segments: &[&str]) -> Call {
        Call { method, url: self.0.route(segments), body: None }
    }
}

impl Vault for HttpVault {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let mut segments = vec!["secrets", name.as_str()];
        if !version.is_empty() {
            segments.push(&version);
        }
        let answer = self.0.exchange(self.secret_call(Method::GET, &segments)).await?;
        if failure::is_not_found(&answer) {
            return Ok(None);
        }
        let secret = wire::secret(failure::checked(answer)?)?;
        same_name(name, &secret.name)?;
        Ok(Some(Arc::new(secret)))
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let mut call = self.secret_call(Method::PUT, &["secrets", name.as_str()]);
        call.body = Some(wire::set_body(&new)?);
        let answer = failure::checked(self.0.exchange(call).await?)?;
        let mut secret = wire::secret(answer)?;
        same_name(name, &secret.name)?;
        secret.value = new.value;
        Ok(Arc::new(secret))
    }

    fn secrets(&self) -> Pages {
        pages::pages(Arc::clone(&self.0), self.0.route(&["secrets"]))
    }

    fn versions(&self, name: &SecretName) -> Pages {
        pages::pages(Arc::clone(&self.0), self.0.route(&["secrets", name.as_str(), "versions"]))
    }
}

/// A proxy that mixes up answers must not make one secret pass for another.
fn same_name(asked: &SecretName, answered: &SecretName) -> Result<(), VaultError> {
    if asked == answered {
        return Ok(());
    }
    Err(VaultError::of(VaultErrorKind::NotKeyVault(format!("asked for {asked}, got {answered}").into())))
}
