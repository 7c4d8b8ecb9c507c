//! The port: what a Key Vault can do, in Key Vault's own words.
//!
//! [`Vault`] has one method per operation of the secrets API. The HTTP client, the cache and the
//! doubles of the tests all implement it, and nothing that calls it knows how deep the stack is.
//! Refuses to know of inodes, errnos or files.

#[cfg(test)]
pub(crate) mod double;
mod error;
pub mod http;
mod name;
mod secret;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

pub use crate::sys::SecretBytes;
pub use error::{Denial, VaultError, VaultErrorKind};
pub use name::{SecretName, VersionId};
pub use secret::{Item, NewSecret, Properties, Secret};

/// What a get found. `None`: the vault has no such secret, or no such version of it.
pub type Found = Result<Option<Arc<Secret>>, VaultError>;

/// One page of a listing; never empty, since pages without items are followed silently.
pub type Page = Arc<[Item]>;

/// A listing, page by page. It ends after an error.
pub type Pages = BoxStream<'static, Result<Page, VaultError>>;

/// An answer that is known without asking the vault, and how much longer it counts as fresh.
#[derive(Debug, Clone)]
pub struct Known<T> {
    /// The answer.
    pub answer: T,
    /// How much longer it may be served without asking.
    pub fresh_for: Duration,
}

/// A Key Vault, seen through its secrets API.
pub trait Vault: Send + Sync + 'static {
    /// A secret's value and properties: the newest version, or the given one
    /// (`GET /secrets/{name}/{version}`).
    fn get(&self, name: &SecretName, version: Option<VersionId>) -> impl Future<Output = Found> + Send;

    /// Makes a new version (`PUT /secrets/{name}`). Nothing carries over from the version before.
    fn set(&self, name: &SecretName, new: NewSecret) -> impl Future<Output = Result<Arc<Secret>, VaultError>> + Send;

    /// All live secrets, disabled ones too, with the properties of their newest version
    /// (`GET /secrets`).
    fn secrets(&self) -> Pages;

    /// All versions of a secret, in no promised order; nothing for a name that does not exist
    /// (`GET /secrets/{name}/versions`).
    fn versions(&self, name: &SecretName) -> Pages;

    /// What a [`get`](Self::get) would answer, if that is known now. Never waits; only a cache knows.
    fn known(&self, _name: &SecretName, _version: Option<VersionId>) -> Option<Known<Found>> {
        None
    }

    /// What [`secrets`](Self::secrets) says of one name, if that is known now: `Some` with `None` in it
    /// is a fresh listing without the name. Never waits; only a cache knows.
    fn known_item(&self, _name: &SecretName) -> Option<Known<Option<Item>>> {
        None
    }
}
