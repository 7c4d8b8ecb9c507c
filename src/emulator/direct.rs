//! The vault's operations by plain calls: no HTTP, no token, no fault in between. What lives in the same
//! process, as its owner's tests do, can hold the store itself against what clients see of it.

use super::errors::Refusal;
use super::model::{NewSecret, SecretName, State, UnixTime, VersionId};
use super::rules::{Found, Update, Vault};
use super::{Emulator, operations, random};

/// The operations of the secrets API, one method each. Versions are 32 hexadecimal digits; dates are
/// unix seconds.
#[derive(Clone, Debug)]
pub struct Direct {
    emulator: Emulator,
    recovery_level: &'static str,
    recoverable_days: u32,
}

/// One version of a secret, and what its secret stands at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In the case the vault keeps.
    pub name: String,
    /// Which version.
    pub version: String,
    /// Value and properties.
    pub content: NewSecret,
    /// When the version was made.
    pub created: i64,
    /// When its properties last changed.
    pub updated: i64,
    /// The version that a certificate's renewal replaced.
    pub previous: Option<String>,
    /// What a delete would leave.
    pub recovery_level: &'static str,
    /// Days for which a deleted secret can be recovered.
    pub recoverable_days: u32,
    /// When the secret was deleted and when it will be purged, if it is deleted.
    pub deletion: Option<(i64, i64)>,
}

/// A refusal, by the status and the innermost code that a client would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vault refuses with {status} {code}")]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The inner error code where there is one, else the outer.
    pub code: &'static str,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused { status: refusal.status, code: refusal.inner.unwrap_or(refusal.code) }
    }
}

impl Emulator {
    /// The vault's operations by plain calls, with every permission.
    pub fn direct(&self) -> Direct {
        let vault = self.inner.vault.read();
        let (recovery_level, recoverable_days) = (vault.options.recovery_level(), vault.options.recoverable_days());
        Direct { emulator: self.clone(), recovery_level, recoverable_days }
    }
}

/// Errors are those of the service's operations.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Direct {
    /// A version, the newest if none is given (REST: Get Secret).
    pub fn get(&self, name: &str, version: Option<&str>) -> Result<Seen, Refused> {
        self.read(|vault, now| Ok(self.seen(vault.get(&secret_name(name)?, version_id(name, version)?, now)?)))
    }

    /// The same in the form of a content type (REST: Get Secret with `outContentType`).
    pub fn get_as(&self, name: &str, version: Option<&str>, content_type: &str) -> Result<Seen, Refused> {
        self.read(|vault, now| {
            let found = vault.get(&secret_name(name)?, version_id(name, version)?, now)?;
            let mut seen = self.seen(found);
            if let Some(converted) = operations::in_form(found, content_type)? {
                seen.content.value = converted.as_str().into();
                seen.content.content_type = Some(content_type.to_owned());
            }
            Ok(seen)
        })
    }

    /// Makes a new version (REST: Set Secret).
    pub fn set(&self, name: &str, new: NewSecret) -> Result<Seen, Refused> {
        self.change(|vault, now| Ok(self.seen(vault.set(&secret_name(name)?, new, random::version_id(), now)?)))
    }

    /// Changes properties of a version, the newest if none is given (REST: Update Secret).
    pub fn update(&self, name: &str, version: Option<&str>, update: Update) -> Result<Seen, Refused> {
        self.change(|vault, now| {
            let updated = vault.update(&secret_name(name)?, version_id(name, version)?, update, now)?;
            Ok(self.seen(updated))
        })
    }

    /// Deletes a secret, recoverably (REST: Delete Secret).
    pub fn delete(&self, name: &str) -> Result<Seen, Refused> {
        self.change(|vault, now| Ok(self.seen(vault.delete(&secret_name(name)?, now)?)))
    }

    /// A deleted secret (REST: Get Deleted Secret).
    pub fn deleted(&self, name: &str) -> Result<Seen, Refused> {
        self.read(|vault, now| Ok(self.seen(vault.get_deleted(&secret_name(name)?, now)?)))
    }

    /// Brings a deleted secret back (REST: Recover Deleted Secret).
    pub fn recover(&self, name: &str) -> Result<Seen, Refused> {
        self.change(|vault, now| Ok(self.seen(vault.recover(&secret_name(name)?, now)?)))
    }

    /// Destroys a deleted secret (REST: Purge Deleted Secret).
    pub fn purge(&self, name: &str) -> Result<(), Refused> {
        self.change(|vault, now| vault.purge(&secret_name(name)?, now))
    }

    /// All versions of a secret in one blob, in base64url (REST: Backup Secret).
    pub fn backup(&self, name: &str) -> Result<String, Refused> {
        self.read(|vault, now| self.emulator.inner.backups.seal(vault.backup(&secret_name(name)?, now)?))
    }

    /// Brings back what a blob holds (REST: Restore Secret).
    pub fn restore(&self, blob: &str) -> Result<Seen, Refused> {
        self.change(|vault, now| {
            let secret = self.emulator.inner.backups.open(blob)?;
            let conflict = Refusal::restore_conflict(secret.name.as_str());
            Ok(self.seen(vault.restore(secret, now).ok_or(conflict)?))
        })
    }

    /// All live secrets, by their newest version (REST: Get Secrets).
    pub fn list(&self) -> Result<Vec<Seen>, Refused> {
        self.read(|vault, now| {
            Ok(vault.list("", now).filter_map(Found::latest).map(|found| self.seen(found)).collect())
        })
    }

    /// All versions of a secret (REST: Get Secret Versions).
    pub fn versions(&self, name: &str) -> Result<Vec<Seen>, Refused> {
        self.read(|vault, now| {
            let name = secret_name(name)?;
            let versions = vault.list_versions(&name, VersionId::LOWEST, now);
            Ok(versions.map(|found| self.seen(found)).collect())
        })
    }

    /// All deleted secrets, by their newest version (REST: Get Deleted Secrets).
    pub fn list_deleted(&self) -> Result<Vec<Seen>, Refused> {
        self.read(|vault, now| {
            let deleted = vault.list_deleted("", now).filter_map(Found::latest);
            Ok(deleted.map(|found| self.seen(found)).collect())
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Vault, UnixTime) -> Result<T, Refusal>) -> Result<T, Refused> {
        Ok(look(&self.emulator.inner.vault.read(), self.emulator.clock().now())?)
    }

    /// Waits until the change is on the disk, where the vault is kept on one.
    fn change<T>(&self, change: impl FnOnce(&mut Vault, UnixTime) -> Result<T, Refusal>) -> Result<T, Refused> {
        if self.emulator.has_lost_its_store() {
            return Err(Refusal::internal().into());
        }
        let (changed, kept) = {
            let mut vault = self.emulator.inner.vault.write();
            (change(&mut vault, self.emulator.clock().now()), self.emulator.keep_blocking(&mut vault))
        };
        let is_kept = kept.recv().unwrap_or_default();
        if is_kept { Ok(changed?) } else { Err(Refusal::internal().into()) }
    }

    fn seen(&self, found: Found<'_>) -> Seen {
        let (secret, version) = (found.secret, found.version);
        Seen {
            name: secret.name.as_str().to_owned(),
            version: version.id.to_string(),
            content: version.content.clone(),
            created: version.created,
            updated: version.updated,
            previous: version.previous.map(|id| id.to_string()),
            recovery_level: self.recovery_level,
            recoverable_days: self.recoverable_days,
            deletion: match secret.state {
                State::Deleted { at, purge, .. } => Some((at.seconds(), purge.seconds())),
                State::Live | State::Recovering { .. } | State::Purged { .. } => None,
            },
        }
    }
}

fn secret_name(text: &str) -> Result<SecretName, Refusal> {
    SecretName::parse(text).ok_or_else(|| Refusal::invalid_name(text))
}

/// What cannot be an identifier names no version.
fn version_id(name: &str, text: Option<&str>) -> Result<Option<VersionId>, Refusal> {
    text.map(|text| VersionId::parse(text).ok_or_else(|| Refusal::not_found(name))).transpose()
}
