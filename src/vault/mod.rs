//! The port: what a Key Vault can do, in Key Vault's own words.
//!
//! [`Vault`] has one method per operation of the secrets API. The HTTP client, the cache and the
//! doubles of the tests all implement it, and nothing that calls it knows how deep the stack is.
//! Refuses to know of inodes, errnos or files.

#[cfg(test)]
pub(crate) mod double;
mod error;
pub mod http;
mod limits;
mod name;
mod secret;
pub mod settle;
mod tags;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

pub use crate::sys::SecretBytes;
pub use error::{Denial, Invalid, Permission, TokenRefusal, VaultError, VaultErrorKind};
pub use name::{SecretName, VersionId};
pub use secret::{Changes, DeletedItem, Item, Listed, NewSecret, OutContentType, Properties, Secret};
pub use tags::edit_tags;

/// What a get found. `None`: the vault has no such secret, or no such version of it.
pub type Found = Result<Option<Arc<Secret>>, VaultError>;

/// One page of a listing; never empty, since pages without items are followed silently.
pub type Page<T = Item> = Arc<[T]>;

/// A listing, page by page. It ends after an error.
pub type Pages<T = Item> = BoxStream<'static, Result<Page<T>, VaultError>>;

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

    /// The same, asked of the vault itself after this call: no cache answers, and no get that was sent
    /// before.
    fn get_now(&self, name: &SecretName, version: Option<VersionId>) -> impl Future<Output = Found> + Send {
        self.get(name, version)
    }

    /// The same in another form: only a certificate's PFX can be had, as PEM (`outContentType`, since
    /// api-version 2025-07-01).
    fn get_as(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        form: OutContentType,
    ) -> impl Future<Output = Found> + Send;

    /// Makes a new version (`PUT /secrets/{name}`). Nothing carries over from the version before.
    fn set(&self, name: &SecretName, new: NewSecret) -> impl Future<Output = Result<Arc<Secret>, VaultError>> + Send;

    /// Changes properties of a version, of the newest one if none is given; what is not named stays as it
    /// is (`PATCH /secrets/{name}/{version}`). `None`: there is no such secret or version.
    fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> impl Future<Output = Result<Option<Item>, VaultError>> + Send;

    /// Deletes a secret with all its versions (`DELETE /secrets/{name}`). The vault says yes long before it
    /// is done: the secret shows among the [`deleted`](Self::deleted) ones some 17 s later. `None`: there is
    /// no such secret.
    fn delete(&self, name: &SecretName) -> impl Future<Output = Result<Option<DeletedItem>, VaultError>> + Send;

    /// A soft-deleted secret (`GET /deletedsecrets/{name}`). `None`: there is none, or the deletion is not
    /// done yet.
    fn deleted(&self, name: &SecretName) -> impl Future<Output = Result<Option<DeletedItem>, VaultError>> + Send;

    /// Brings a soft-deleted secret back (`POST /deletedsecrets/{name}/recover`). The vault says yes long
    /// before it is done: the secret can be read some 19 s later. `None`: there is no such secret.
    fn recover(&self, name: &SecretName) -> impl Future<Output = Result<Option<Item>, VaultError>> + Send;

    /// Ends a soft-deleted secret for good (`DELETE /deletedsecrets/{name}`).
    fn purge(&self, name: &SecretName) -> impl Future<Output = Result<(), VaultError>> + Send;

    /// All versions of a secret in one blob that only a vault of the same geography can read
    /// (`POST /secrets/{name}/backup`): the raw bytes, as `az keyvault secret backup` writes them. `None`:
    /// there is no such secret.
    fn backup(&self, name: &SecretName) -> impl Future<Output = Result<Option<SecretBytes>, VaultError>> + Send;

    /// Brings back what a blob holds, under the name inside it (`POST /secrets/restore`).
    fn restore(&self, blob: &SecretBytes) -> impl Future<Output = Result<Item, VaultError>> + Send;

    /// All live secrets, disabled ones too, with the properties of their newest version
    /// (`GET /secrets`).
    fn secrets(&self) -> Pages;

    /// All versions of a secret, in no promised order; nothing for a name that does not exist
    /// (`GET /secrets/{name}/versions`).
    fn versions(&self, name: &SecretName) -> Pages;

    /// All soft-deleted secrets (`GET /deletedsecrets`).
    fn deleted_secrets(&self) -> Pages<DeletedItem>;

    /// What a [`get`](Self::get) would answer, if that is known now. Never waits; only a cache knows.
    fn known(&self, _name: &SecretName, _version: Option<VersionId>) -> Option<Known<Found>> {
        None
    }

    /// The same for those who look at a secret without reading it: what is only looked at need not be kept
    /// fresh.
    fn peek(&self, name: &SecretName, version: Option<VersionId>) -> Option<Known<Found>> {
        self.known(name, version)
    }

    /// What [`secrets`](Self::secrets) says of one name, if that is known now: `Some` with `None` in it
    /// is a fresh listing without the name. Never waits; only a cache knows.
    fn known_item(&self, _name: &SecretName) -> Option<Known<Option<Listed>>> {
        None
    }

    /// The first page of what [`secrets`](Self::secrets) gives now, if that is whole and fresh. Never waits;
    /// only a cache knows.
    fn known_listing(&self) -> Option<Known<Page>> {
        None
    }

    /// From now on the vault is asked again for a secret, or for all if none is named, and for what is in use
    /// at once; what is remembered serves in an outage alone. Only a cache has anything to ask again for.
    fn refresh(&self, _name: Option<&SecretName>) {}

    /// How long ago the vault was asked what it then confirmed of a secret's value, or of its absence.
    /// Never waits; only a cache knows.
    fn age(&self, _name: &SecretName, _version: Option<VersionId>) -> Option<Duration> {
        None
    }

    /// The same of the listing of secrets: how long ago the one that is shown was complete.
    fn age_of_listing(&self) -> Option<Duration> {
        None
    }
}
