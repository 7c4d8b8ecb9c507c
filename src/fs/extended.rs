//! Extended attributes as getfattr reads them: a secret's properties, and where it stands.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::Answer;
use super::facts::Description;
use super::settling::Way;
use super::{Fs, FsError, encoding, now_unix};
use crate::tree::{Extended, KNOWN, Node};
use crate::vault::{Changes, DeletedItem, Properties, SecretName, Vault, VersionId};

/// The attributes of one place, with their values as text.
#[derive(Default)]
struct Sheet {
    known: Vec<(Extended, String)>,
    tags: BTreeMap<String, String>,
}

impl Sheet {
    fn add(&mut self, attribute: Extended, value: impl Into<Option<String>>) {
        if let Some(value) = value.into() {
            self.known.push((attribute, value));
        }
    }

    fn properties(&mut self, properties: &Properties, version: Option<VersionId>) {
        let own = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        self.add(Extended::Id, properties.id.to_string());
        self.add(Extended::Version, version.map(|version| version.to_string()));
        self.add(Extended::Enabled, properties.enabled.to_string());
        self.add(Extended::ContentType, own(&properties.content_type));
        self.add(Extended::NotBefore, properties.not_before.map(date));
        self.add(Extended::ExpiresOn, properties.expires_on.map(date));
        self.add(Extended::CreatedOn, date(properties.created_on));
        self.add(Extended::UpdatedOn, date(properties.updated_on));
        self.add(Extended::RecoveryLevel, own(&properties.recovery_level));
        self.add(Extended::RecoverableDays, properties.recoverable_days.map(|days| days.to_string()));
        self.add(Extended::Managed, properties.managed.to_string());
        self.add(Extended::KeyId, own(&properties.key_id));
        self.add(Extended::PreviousVersion, own(&properties.previous_version));
        self.tags = properties.tags.clone().unwrap_or_default();
    }

    fn deleted(&mut self, deleted: &DeletedItem) {
        self.properties(&deleted.item.properties, deleted.item.version);
        self.add(Extended::RecoveryId, deleted.recovery_id.as_deref().map(str::to_owned));
        self.add(Extended::DeletedDate, deleted.deleted_on.map(date));
        self.add(Extended::ScheduledPurgeDate, deleted.scheduled_purge_on.map(date));
    }

    /// What is going to be set with the next write.
    fn joined(&mut self, joined: &Changes) {
        let mut replace = |attribute: Extended, value: Option<String>| {
            if let Some(value) = value {
                self.known.retain(|(known, _)| *known != attribute);
                self.known.push((attribute, value));
            }
        };
        replace(Extended::Enabled, joined.enabled.map(|enabled| enabled.to_string()));
        replace(Extended::ContentType, joined.content_type.clone());
        replace(Extended::NotBefore, joined.not_before.map(date));
        replace(Extended::ExpiresOn, joined.expires_on.map(date));
        if let Some(tags) = &joined.tags {
            self.tags = tags.clone();
        }
    }

    fn value(&self, attribute: &Extended) -> Option<&str> {
        match attribute {
            Extended::Tag(tag) => self.tags.get(tag).map(String::as_str),
            known => self.known.iter().find(|(other, _)| other == known).map(|(_, value)| value.as_str()),
        }
    }

    fn names(&self) -> Vec<String> {
        let tags = self.tags.keys().map(|tag| Extended::Tag(tag.clone()));
        let listed = KNOWN.into_iter().filter(|known| *known != Extended::Deletions && self.value(known).is_some());
        listed.chain(tags).filter_map(|attribute| attribute.name()).collect()
    }
}

impl<V: Vault> Fs<V> {
    /// The value of an extended attribute (GETXATTR).
    pub fn extended(self: &Arc<Self>, inode: u64, name: &OsStr) -> Answer<Vec<u8>> {
        let attribute = name.to_str().and_then(Extended::parse);
        let (Some(attribute), Some(node)) = (attribute, self.node(inode)) else {
            return Answer::refused(FsError::NoAttribute);
        };
        if attribute == Extended::Settled {
            return self.once_settled(inode, b"true".to_vec());
        }
        let fs = Arc::clone(self);
        Answer::of(async move {
            let sheet = fs.sheet(&node).await;
            sheet.value(&attribute).map(|value| value.as_bytes().to_vec()).ok_or(FsError::NoAttribute)
        })
    }

    /// The names of all extended attributes of a place, each with a null byte behind it (LISTXATTR).
    pub fn extended_names(self: &Arc<Self>, inode: u64) -> Answer<Vec<u8>> {
        let Some(node) = self.node(inode) else { return Answer::refused(FsError::NotFound) };
        let fs = Arc::clone(self);
        Answer::of(async move {
            let names = fs.sheet(&node).await.names();
            Ok(names.into_iter().flat_map(|name| [name.into_bytes(), vec![0]].concat()).collect())
        })
    }

    /// A refusal leaves the sheet with nothing but the refusal.
    async fn sheet(self: &Arc<Self>, node: &Node) -> Sheet {
        let mut sheet = Sheet::default();
        if let Err(error) = self.fill(node, &mut sheet).await
            && !matches!(error, FsError::NotFound)
        {
            self.work.refusals.note(node, &error);
        }
        if let Some(error) = self.work.refusals.last(node) {
            sheet.known.retain(|(known, _)| *known != Extended::Error);
            sheet.add(Extended::Error, error);
        }
        sheet
    }

    async fn fill(self: &Arc<Self>, node: &Node, sheet: &mut Sheet) -> Result<(), FsError> {
        match node {
            Node::Secret(name) | Node::Current(name) | Node::Value(name) | Node::Properties(name) => {
                self.fill_newest(name, sheet).await
            }
            Node::Version(name, version) => {
                let description = self.describe(name, Some(*version)).await?.ok_or(FsError::NotFound)?;
                sheet.properties(description.properties(), Some(*version));
                sheet.add(Extended::State, state(description.properties()).to_owned());
                self.add_age(name, Some(*version), sheet);
                Ok(())
            }
            Node::DeletedSecret(name) | Node::DeletedProperties(name) => {
                let deleted = self.deleted(name).await?.ok_or(FsError::NotFound)?;
                sheet.deleted(&deleted);
                let state = match self.work.settling.way(name) {
                    Some(Way::Deleting(_)) => "deleting",
                    Some(Way::Recovering(_) | Way::Purging) | None => "deleted",
                };
                sheet.add(Extended::State, state.to_owned());
                Ok(())
            }
            Node::Deleted => {
                let line = |(at, name): (i64, SecretName)| format!("{} {name}\n", date(at));
                let deletions: String = self.work.deleted.deletions().into_iter().map(line).collect();
                sheet.add(Extended::Deletions, deletions);
                Ok(())
            }
            Node::Root | Node::Secrets | Node::Values | Node::Backups | Node::Backup(_) => Ok(()),
            Node::Scratch(..) | Node::Restoring(_) => Ok(()),
        }
    }

    async fn fill_newest(self: &Arc<Self>, name: &SecretName, sheet: &mut Sheet) -> Result<(), FsError> {
        let (pending, joined) = self.work.desk(name, |desk| (desk.pending.is_some(), desk.joined.clone()));
        if pending {
            sheet.joined(&joined);
            sheet.add(Extended::State, "pending".to_owned());
            return Ok(());
        }
        if let Some(Way::Recovering(item)) = self.work.settling.way(name) {
            sheet.properties(&item.properties, item.version);
            sheet.add(Extended::State, "recovering".to_owned());
            return Ok(());
        }
        let description = self.describe(name, None).await?.ok_or(FsError::NotFound)?;
        let version = match &description {
            Description::Whole(secret) => Some(secret.version),
            Description::WithoutValue(item) => item.version,
        };
        sheet.properties(description.properties(), version);
        sheet.joined(&joined);
        sheet.add(Extended::State, state(description.properties()).to_owned());
        if let Description::Whole(secret) = &description {
            sheet.add(Extended::Error, encoding::complaint(secret));
        }
        self.add_age(name, None, sheet);
        Ok(())
    }

    fn add_age(&self, name: &SecretName, version: Option<VersionId>, sheet: &mut Sheet) {
        let age = self.vault.age(name, version).or_else(|| self.vault.age_of_listing()).map(|age| age.as_secs());
        sheet.add(Extended::Age, age.map(|age| age.to_string()));
    }
}

/// Where a secret or version stands.
fn state(properties: &Properties) -> &'static str {
    let now = now_unix();
    if !properties.enabled {
        "disabled"
    } else if properties.expires_on.is_some_and(|expiry| expiry <= now) {
        "expired"
    } else if properties.not_before.is_some_and(|start| start > now) {
        "not-yet-valid"
    } else {
        "live"
    }
}

/// RFC 3339, in UTC; seconds where the calendar ends.
pub(super) fn date(unix_seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix_seconds).ok().and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| unix_seconds.to_string())
}
