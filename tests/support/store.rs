//! The embedded vault's store as a `Vault`: each call goes to its rules, with no HTTP in between.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use akvfs::emulator::{Direct, Emulator, NewSecret as Stored, Refused, Seen, Update};
use akvfs::vault::{
    Changes, DeletedItem, Denial, Found, Item, NewSecret, OutContentType, Page, Pages, Properties, Secret, SecretBytes,
    SecretName, Vault, VaultError, VaultErrorKind, VersionId,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt, stream};

/// As the client of the contract has it: listings take more than one page.
const PAGE: usize = 2;

pub struct StoreVault {
    store: Direct,
    base: String,
}

impl StoreVault {
    pub fn of(emulator: &Emulator) -> StoreVault {
        StoreVault { store: emulator.direct(), base: format!("https://{}.vault.azure.net", emulator.name()) }
    }

    fn item(&self, seen: Seen) -> Item {
        let (name, version) = identity(&seen);
        Item { name, version: Some(version), properties: self.properties(seen) }
    }

    fn secret(&self, seen: Seen) -> Arc<Secret> {
        let (name, version) = identity(&seen);
        let value = SecretBytes::new(seen.content.value.expose().as_bytes().to_vec());
        Arc::new(Secret { name, version, value, properties: self.properties(seen) })
    }

    fn deleted_item(&self, seen: Seen) -> DeletedItem {
        let (deleted_on, scheduled_purge_on) = seen.deletion.unzip();
        let recovery_id = Some(format!("{}/deletedsecrets/{}", self.base, seen.name).into());
        DeletedItem { item: self.item(seen), recovery_id, deleted_on, scheduled_purge_on }
    }

    fn properties(&self, seen: Seen) -> Properties {
        let path = format!("{}/{}", seen.name, seen.version);
        Properties {
            id: format!("{}/secrets/{path}", self.base).into(),
            content_type: seen.content.content_type.map(Into::into),
            enabled: seen.content.enabled,
            not_before: seen.content.not_before,
            expires_on: seen.content.expires_on,
            created_on: seen.created,
            updated_on: seen.updated,
            recovery_level: Some(seen.recovery_level.into()),
            recoverable_days: Some(seen.recoverable_days),
            tags: seen.content.tags,
            managed: seen.content.managed,
            key_id: seen.content.managed.then(|| format!("{}/keys/{path}", self.base).into()),
            previous_version: seen.previous.map(Into::into),
        }
    }

    /// A listing of secrets names no versions.
    fn without_version(item: Item) -> Item {
        Item { version: None, ..item }
    }
}

fn identity(seen: &Seen) -> (SecretName, VersionId) {
    (SecretName::parse(&seen.name).unwrap(), VersionId::parse(&seen.version).unwrap())
}

fn pages<T: Clone + Send + Sync + 'static>(listed: Result<Vec<T>, Refused>) -> Pages<T> {
    let pages: Vec<Result<Page<T>, VaultError>> = match listed {
        Ok(items) => items.chunks(PAGE).map(|page| Ok(page.into())).collect(),
        Err(refused) => vec![Err(error(refused))],
    };
    stream::iter(pages).boxed()
}

/// What the port calls a refusal, by the reference's table of status and inner code.
fn error(refused: Refused) -> VaultError {
    let kind = match (refused.status, refused.code) {
        (403, "SecretDisabled") => VaultErrorKind::Disabled,
        (403, "SecretManagedByKeyVault") => VaultErrorKind::Denied(Denial::Managed),
        (403, _) => VaultErrorKind::Denied(Denial::Unsaid),
        (409, "ObjectIsDeletedButRecoverable") => VaultErrorKind::SoftDeleted,
        (409, "Conflict") => VaultErrorKind::Taken,
        (409, _) => VaultErrorKind::Conflict,
        (status @ 500..=599, _) => VaultErrorKind::Server(status),
        (status, _) => VaultErrorKind::Rejected(status),
    };
    VaultError { code: Some(refused.code.into()), ..VaultError::of(kind) }
}

fn found<T>(outcome: Result<T, Refused>) -> Result<Option<T>, VaultError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(Refused { status: 404, .. }) => Ok(None),
        Err(refused) => Err(error(refused)),
    }
}

fn text(version: Option<VersionId>) -> Option<String> {
    version.map(|version| version.to_string())
}

impl Vault for StoreVault {
    async fn get(&self, name: &SecretName, version: Option<VersionId>) -> Found {
        let got = self.store.get(name.as_str(), text(version).as_deref());
        Ok(found(got)?.map(|seen| self.secret(seen)))
    }

    async fn get_as(&self, name: &SecretName, version: Option<VersionId>, form: OutContentType) -> Found {
        let got = self.store.get_as(name.as_str(), text(version).as_deref(), form.as_str());
        Ok(found(got)?.map(|seen| self.secret(seen)))
    }

    async fn set(&self, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        new.check()?;
        let stored = Stored {
            value: std::str::from_utf8(new.value.expose()).unwrap().into(),
            content_type: new.content_type,
            tags: new.tags,
            enabled: new.enabled.unwrap_or(true),
            not_before: new.not_before,
            expires_on: new.expires_on,
            managed: false,
        };
        self.store.set(name.as_str(), stored).map(|seen| self.secret(seen)).map_err(error)
    }

    async fn update(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        changes: Changes,
    ) -> Result<Option<Item>, VaultError> {
        changes.check()?;
        let Changes { content_type, tags, enabled, not_before, expires_on } = changes;
        let update = Update { content_type, tags, enabled, not_before, expires_on };
        let updated = self.store.update(name.as_str(), text(version).as_deref(), update);
        Ok(found(updated)?.map(|seen| self.item(seen)))
    }

    async fn delete(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        Ok(found(self.store.delete(name.as_str()))?.map(|seen| self.deleted_item(seen)))
    }

    async fn deleted(&self, name: &SecretName) -> Result<Option<DeletedItem>, VaultError> {
        Ok(found(self.store.deleted(name.as_str()))?.map(|seen| self.deleted_item(seen)))
    }

    async fn recover(&self, name: &SecretName) -> Result<Option<Item>, VaultError> {
        Ok(found(self.store.recover(name.as_str()))?.map(|seen| self.item(seen)))
    }

    async fn purge(&self, name: &SecretName) -> Result<(), VaultError> {
        self.store.purge(name.as_str()).map_err(error)
    }

    async fn backup(&self, name: &SecretName) -> Result<Option<SecretBytes>, VaultError> {
        let blob = found(self.store.backup(name.as_str()))?;
        Ok(blob.map(|blob| SecretBytes::new(URL_SAFE_NO_PAD.decode(blob).unwrap())))
    }

    async fn restore(&self, blob: &SecretBytes) -> Result<Item, VaultError> {
        let restored = self.store.restore(&URL_SAFE_NO_PAD.encode(blob.expose()));
        restored.map(|seen| self.item(seen)).map_err(error)
    }

    fn secrets(&self) -> Pages {
        let item = |seen| StoreVault::without_version(self.item(seen));
        pages(self.store.list().map(|listed| listed.into_iter().map(item).collect()))
    }

    fn versions(&self, name: &SecretName) -> Pages {
        let listed = self.store.versions(name.as_str());
        pages(listed.map(|listed| listed.into_iter().map(|seen| self.item(seen)).collect()))
    }

    fn deleted_secrets(&self) -> Pages<DeletedItem> {
        let listed = self.store.list_deleted();
        pages(listed.map(|listed| listed.into_iter().map(|seen| self.deleted_item(seen)).collect()))
    }
}
