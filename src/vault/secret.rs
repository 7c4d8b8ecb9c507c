//! A secret and its properties, as the vault describes them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::{Page, SecretBytes, SecretName, VersionId};

/// Everything the vault says of a version, save its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The identifier as the vault gives it: a URL, without the version in listings of secrets.
    pub id: Box<str>,
    /// Free text that says what the value is, at most 255 characters.
    pub content_type: Option<Box<str>>,
    /// Whether the value may be read.
    pub enabled: bool,
    /// Not meant to be used before this time; unix seconds, UTC. The vault does not enforce it.
    pub not_before: Option<i64>,
    /// Not meant to be used from this time on; unix seconds, UTC. The vault does not enforce it.
    pub expires_on: Option<i64>,
    /// When this version was made; unix seconds, UTC.
    pub created_on: i64,
    /// When its properties last changed; unix seconds, UTC.
    pub updated_on: i64,
    /// What a delete would leave, such as `Recoverable+Purgeable`.
    pub recovery_level: Option<Box<str>>,
    /// Days for which a deleted secret can be recovered; since api-version 7.1.
    pub recoverable_days: Option<u32>,
    /// At most 15 tags; `None` where the vault sent no such field, which is not the same as none.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether the secret belongs to a certificate, which then alone may change it.
    pub managed: bool,
    /// The certificate's key, for managed secrets.
    pub key_id: Option<Box<str>>,
    /// The version before, for managed secrets; since api-version 2025-07-01.
    pub previous_version: Option<Box<str>>,
}

/// The form in which a certificate's secret is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutContentType {
    /// `application/x-pkcs12`: PFX, in base64.
    Pfx,
    /// `application/x-pem-file`.
    Pem,
}

impl OutContentType {
    /// The media type.
    pub fn as_str(self) -> &'static str {
        match self {
            OutContentType::Pfx => "application/x-pkcs12",
            OutContentType::Pem => "application/x-pem-file",
        }
    }
}

/// One version of a secret, with its value.
#[derive(Debug)]
pub struct Secret {
    /// Its name, in the case the vault keeps.
    pub name: SecretName,
    /// Which version.
    pub version: VersionId,
    /// Its properties.
    pub properties: Properties,
    /// Its value: UTF-8 as the API carries it.
    pub value: SecretBytes,
}

/// One entry of a listing.
#[derive(Clone, Debug)]
pub struct Item {
    /// The secret's name, in the case the vault keeps.
    pub name: SecretName,
    /// Which version; `None` in listings of secrets.
    pub version: Option<VersionId>,
    /// Its properties; in listings of secrets those of the newest version.
    pub properties: Properties,
}

/// An entry where it stands in its page: cheaper to hand about than the entry itself.
#[derive(Clone, Debug)]
pub struct Listed {
    page: Page,
    at: usize,
}

impl Listed {
    /// The entry at a place of the page, if there is one.
    pub fn of(page: &Page, at: usize) -> Option<Listed> {
        (at < page.len()).then(|| Listed { page: Arc::clone(page), at })
    }

    /// Whether it stands in this very page, and not in another with the same entries.
    pub fn is_in(&self, page: &Page) -> bool {
        Arc::ptr_eq(&self.page, page)
    }
}

impl Deref for Listed {
    type Target = Item;

    fn deref(&self) -> &Item {
        &self.page[self.at]
    }
}

impl From<Listed> for Box<Item> {
    fn from(listed: Listed) -> Box<Item> {
        Box::new(Item::clone(&listed))
    }
}

/// A soft-deleted secret.
#[derive(Clone, Debug)]
pub struct DeletedItem {
    /// Name and properties of its newest version.
    pub item: Item,
    /// The URL under which it can be recovered.
    pub recovery_id: Option<Box<str>>,
    /// When it was deleted; unix seconds, UTC.
    pub deleted_on: Option<i64>,
    /// When the vault will purge it by itself; unix seconds, UTC.
    pub scheduled_purge_on: Option<i64>,
}

/// What a new version is to be.
#[derive(Debug)]
pub struct NewSecret {
    /// The value: UTF-8, at most 25,600 characters.
    pub value: SecretBytes,
    /// Free text, at most 255 characters.
    pub content_type: Option<String>,
    /// At most 15 tags of at most 512 characters each.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether it may be read; the vault's default is yes.
    pub enabled: Option<bool>,
    /// Unix seconds, UTC.
    pub not_before: Option<i64>,
    /// Unix seconds, UTC.
    pub expires_on: Option<i64>,
}

/// What is to change in a version's properties; `None` leaves a property as it is. The API cannot take a
/// date away again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Free text, at most 255 characters.
    pub content_type: Option<String>,
    /// Replaces all tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether the value may be read.
    pub enabled: Option<bool>,
    /// Unix seconds, UTC.
    pub not_before: Option<i64>,
    /// Unix seconds, UTC.
    pub expires_on: Option<i64>,
}

impl NewSecret {
    /// A new version with this value and nothing else.
    pub fn of(value: SecretBytes) -> NewSecret {
        NewSecret { value, content_type: None, tags: None, enabled: None, not_before: None, expires_on: None }
    }
}
