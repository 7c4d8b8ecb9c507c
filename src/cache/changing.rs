//! Own changes: what was asked before one is not remembered after it, and what it made is known at once.

use std::sync::Arc;

use tokio::time::Instant;

use super::values::named;
use super::{ChangeKind, Shared};
use crate::vault::{DeletedItem, Item, Secret, SecretName, Vault, VaultError, VaultErrorKind, VersionId};

/// A change that is on its way to the vault. Dropped without a word of how it ended, it may have
/// happened or not.
pub(super) struct Changing<V: Vault> {
    shared: Arc<Shared<V>>,
    name: SecretName,
    sent: Instant,
    is_over: bool,
}

impl<V: Vault> Shared<V> {
    /// A change of the secret is about to be sent.
    pub(super) fn begin(self: &Arc<Self>, name: &SecretName) -> Changing<V> {
        self.counters.changes.count();
        self.flights.change_begins(name);
        Changing { shared: Arc::clone(self), name: name.clone(), sent: Instant::now(), is_over: false }
    }

    fn tell(&self, name: &SecretName, kind: Option<ChangeKind>) {
        if let Some(change) = named(name, kind) {
            let _ = self.changes.send(change); // nobody may listen
        }
    }
}

impl<V: Vault> Changing<V> {
    pub(super) fn made(mut self, made: &Result<Arc<Secret>, VaultError>) {
        let Ok(secret) = made else { return self.failed(made.as_ref().err()) };
        let is_last = self.over();
        let kind = if secret.properties.enabled {
            self.shared.values.made(secret, self.sent, is_last)
        } else {
            self.shared.values.forget(&self.name); // its value was told to whoever set it, and to nobody else
            None
        };
        let version = Some(secret.version);
        let item = Item { name: secret.name.clone(), version, properties: secret.properties.clone() };
        self.shared.listings.show_version(&item);
        self.shared.listings.show(item);
        if !is_last {
            self.shared.listings.expire(&self.name);
        }
        self.shared.tell(&secret.name, kind);
    }

    pub(super) fn updated(mut self, version: Option<VersionId>, updated: &Result<Option<Item>, VaultError>) {
        let Ok(Some(item)) = updated else { return self.failed(updated.as_ref().err()) };
        let newest = self.shared.values.newest(&self.name);
        let is_last = self.over();
        if item.properties.enabled {
            self.shared.values.expire(&self.name);
        } else {
            self.shared.values.forget(&self.name); // not even in an outage
        }
        self.shared.listings.show_version(item);
        match (version, newest) {
            (None, _) => self.shared.listings.show(item.clone()),
            (Some(version), Some(newest)) if version == newest => self.shared.listings.show(item.clone()),
            (Some(_), Some(_)) => {} // the listing shows another version
            (Some(_), None) => self.shared.listings.expire(&self.name),
        }
        if !is_last {
            self.shared.listings.expire(&self.name);
        }
        self.shared.tell(&self.name, Some(ChangeKind::Properties));
    }

    pub(super) fn deleted(mut self, deleted: &Result<Option<DeletedItem>, VaultError>) {
        let Ok(Some(_)) = deleted else { return self.failed(deleted.as_ref().err()) };
        let is_last = self.over();
        let kind = self.shared.values.deleted(&self.name);
        self.shared.listings.deleted(&self.name);
        if !is_last {
            self.shared.values.expire(&self.name);
            self.shared.listings.expire(&self.name);
        }
        self.shared.tell(&self.name, kind);
    }

    /// Recovered, or restored: with all its versions.
    pub(super) fn brought_back(mut self, brought_back: Result<Option<&Item>, &VaultError>) {
        let Ok(Some(item)) = brought_back else { return self.failed(brought_back.err()) };
        self.over();
        self.shared.values.forget(&self.name);
        self.shared.listings.expire_versions(&self.name);
        self.shared.listings.show(item.clone());
    }

    /// Not done, as far as the answer tells; `None` is "there is no such secret".
    fn failed(mut self, error: Option<&VaultError>) {
        if error.is_some_and(is_certain) {
            self.is_over = true;
            self.shared.flights.change_ends(&self.name);
        }
    }

    fn over(&mut self) -> bool {
        self.is_over = true;
        self.shared.flights.change_ends(&self.name)
    }
}

impl<V: Vault> Drop for Changing<V> {
    fn drop(&mut self) {
        if !self.is_over {
            self.over();
            self.shared.values.expire(&self.name);
            self.shared.listings.expire(&self.name);
        }
    }
}

/// Whether nothing has been changed for certain, and all that is remembered may be true.
fn is_certain(error: &VaultError) -> bool {
    match error.kind {
        VaultErrorKind::Disabled
        | VaultErrorKind::Denied(_)
        | VaultErrorKind::Unauthenticated(_)
        | VaultErrorKind::NoToken(_)
        | VaultErrorKind::Throttled(_)
        | VaultErrorKind::Invalid(_)
        | VaultErrorKind::Rejected(_) => true,
        VaultErrorKind::SoftDeleted
        | VaultErrorKind::Taken
        | VaultErrorKind::Conflict // the secret is not in the state that is remembered
        | VaultErrorKind::Server(_)
        | VaultErrorKind::Unreachable(_)
        | VaultErrorKind::TimedOut
        | VaultErrorKind::NotKeyVault(_)
        | VaultErrorKind::Aborted => false,
    }
}
