//! Extended attributes: a secret's properties, readable with getfattr, and some of them settable.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{Answer, Done};
use super::facts::Description;
use super::settling::Way;
use super::{Fs, FsError, encoding, now_unix};
use crate::tree::{Extended, KNOWN, Node};
use crate::vault::{Changes, DeletedItem, Properties, SecretName, Vault, VersionId};

/// Limits of the service.
const TAGS_MAX: usize = 15;
const TAG_MAX: usize = 512;
const CONTENT_TYPE_MAX: usize = 255;

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

    /// Sets an extended attribute (SETXATTR): one update, or part of the next write.
    pub fn set_extended(self: &Arc<Self>, inode: u64, name: &OsStr, value: &[u8], flags: i32) -> Answer<()> {
        self.change_extended(inode, name, Some((value.to_vec(), flags)))
    }

    /// Removes an extended attribute (REMOVEXATTR): of all of them, tags alone can go.
    pub fn remove_extended(self: &Arc<Self>, inode: u64, name: &OsStr) -> Answer<()> {
        self.change_extended(inode, name, None)
    }

    fn change_extended(self: &Arc<Self>, inode: u64, name: &OsStr, set: Option<(Vec<u8>, i32)>) -> Answer<()> {
        let prepared = self.writable().and_then(|()| {
            let attribute = attribute_to_change(name.to_str().unwrap_or_default(), set.is_some())?;
            let place = self.node(inode).ok_or(FsError::NotFound).and_then(place_to_change)?;
            let value = set.map(|(value, flags)| text(value).map(|value| (value, flags))).transpose()?;
            Ok((attribute, place, value))
        });
        let (attribute, (name, version), set) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Answer::refused(error),
        };
        let fs = Arc::clone(self);
        self.change(async move {
            fs.work.settling.check(&name)?;
            let lock = fs.work.locks.of(&name);
            let _one_at_a_time = lock.lock().await;
            let joins = version.is_none() && fs.work.desk(&name, |desk| desk.is_unsaved());
            let (tags, at) = fs.present_tags(&name, version, &attribute).await?;
            let joined = fs.work.desk(&name, |desk| desk.joined.tags.clone());
            let tags = joined.filter(|_| joins).or(tags).unwrap_or_default();
            let changes = changes(&attribute, set.as_ref(), tags)?;
            if joins {
                fs.work.desk(&name, |desk| join(&mut desk.joined, changes));
                return Ok(Done::from(()));
            }
            let (vault, asked) = (Arc::clone(&fs), name.clone());
            let updated = fs.on_the_wire(async move { vault.vault.update(&asked, at, changes).await });
            updated.await?.ok_or(FsError::NotFound)?;
            Ok(Done::from(()))
        })
    }

    /// The tags as they are in the vault now, where they are needed, and the version that has them: a change
    /// of one tag replaces them all.
    async fn present_tags(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        attribute: &Extended,
    ) -> Result<(Option<BTreeMap<String, String>>, Option<VersionId>), FsError> {
        let pending = self.work.desk(name, |desk| desk.pending.is_some());
        if pending || !matches!(attribute, Extended::Tag(_)) {
            return Ok((None, version));
        }
        let newest = if version.is_none() { self.vault.get_now(name, None).await.ok().flatten() } else { None };
        match newest {
            Some(secret) => Ok((secret.properties.tags.clone(), Some(secret.version))),
            None => {
                let description = self.describe(name, version).await?.ok_or(FsError::NotFound)?;
                Ok((description.properties().tags.clone(), version))
            }
        }
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
fn date(unix_seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix_seconds).ok().and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| unix_seconds.to_string())
}

fn parsed_date(text: &str) -> Result<i64, FsError> {
    let seconds = text.parse().ok();
    let seconds = seconds.or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp));
    seconds.ok_or(FsError::Invalid("a date is RFC 3339, such as 2030-01-31T12:00:00Z, or unix seconds".into()))
}

fn parsed_bool(text: &str) -> Result<bool, FsError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(FsError::Invalid("enabled is true or false".into())),
    }
}

fn text(value: Vec<u8>) -> Result<String, FsError> {
    String::from_utf8(value).map_err(|_| FsError::Invalid("the value of an attribute is UTF-8".into()))
}

fn attribute_to_change(name: &str, set: bool) -> Result<Extended, FsError> {
    let Some(attribute) = Extended::parse(name) else {
        return Err(if Extended::is_ours(name) { FsError::NoAttribute } else { FsError::ForeignAttribute });
    };
    match (&attribute, set) {
        (attribute, _) if !attribute.is_settable() => {
            Err(FsError::NotPermitted("the vault decides this attribute: it cannot be set".into()))
        }
        (Extended::Tag(_), _) | (_, true) => Ok(attribute),
        (_, false) => Err(FsError::Unsupported(
            "Key Vault cannot take this property away again: write a new version, which has none, or set another value"
                .into(),
        )),
    }
}

fn place_to_change(node: Node) -> Result<(SecretName, Option<VersionId>), FsError> {
    match node {
        Node::Secret(name) | Node::Current(name) | Node::Properties(name) => Ok((name, None)),
        Node::Version(name, version) => Ok((name, Some(version))),
        Node::Scratch(..) | Node::Restoring(_) => {
            Err(FsError::Unsupported("scratch files have no properties: set them on the secret".into()))
        }
        Node::DeletedSecret(_) | Node::DeletedProperties(_) => {
            Err(FsError::NotPermitted("a deleted secret does not change: recover it first".into()))
        }
        Node::Root
        | Node::Secrets
        | Node::Values
        | Node::Value(_)
        | Node::Deleted
        | Node::Backups
        | Node::Backup(_) => Err(FsError::NotPermitted("set properties on secrets/NAME".into())),
    }
}

/// What the API is asked to change.
fn changes(
    attribute: &Extended,
    set: Option<&(String, i32)>,
    mut tags: BTreeMap<String, String>,
) -> Result<Changes, FsError> {
    let value = set.map(|(value, _)| value.as_str()).unwrap_or_default();
    match attribute {
        Extended::Enabled => Ok(Changes { enabled: Some(parsed_bool(value)?), ..Changes::default() }),
        Extended::NotBefore => Ok(Changes { not_before: Some(parsed_date(value)?), ..Changes::default() }),
        Extended::ExpiresOn => Ok(Changes { expires_on: Some(parsed_date(value)?), ..Changes::default() }),
        Extended::ContentType if value.chars().count() > CONTENT_TYPE_MAX => {
            Err(FsError::Invalid("a content type has at most 255 characters".into()))
        }
        Extended::ContentType => Ok(Changes { content_type: Some(value.to_owned()), ..Changes::default() }),
        Extended::Tag(tag) => {
            let Some((value, flags)) = set else {
                tags.remove(tag).ok_or(FsError::NoAttribute)?;
                return Ok(Changes { tags: Some(tags), ..Changes::default() });
            };
            match tags.contains_key(tag) {
                true if flags & libc::XATTR_CREATE != 0 => return Err(FsError::Exists("the tag is there".into())),
                false if flags & libc::XATTR_REPLACE != 0 => return Err(FsError::NoAttribute),
                _ => {}
            }
            tags.insert(tag.clone(), value.clone());
            if tags.len() > TAGS_MAX || tag.chars().count() > TAG_MAX || value.chars().count() > TAG_MAX {
                return Err(FsError::NoSpace("a version has at most 15 tags, of at most 512 characters each".into()));
            }
            Ok(Changes { tags: Some(tags), ..Changes::default() })
        }
        _ => Err(FsError::NoAttribute),
    }
}

fn join(joined: &mut Changes, changes: Changes) {
    joined.enabled = changes.enabled.or(joined.enabled);
    joined.content_type = changes.content_type.or(joined.content_type.take());
    joined.not_before = changes.not_before.or(joined.not_before);
    joined.expires_on = changes.expires_on.or(joined.expires_on);
    joined.tags = changes.tags.or(joined.tags.take());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_shown_and_as_seconds() {
        for text in ["2030-01-31T12:00:00Z", "1896091200", "2030-01-31T13:00:00+01:00"] {
            assert_eq!(parsed_date(text).unwrap(), 1_896_091_200, "{text}");
        }
        assert_eq!(date(1_896_091_200), "2030-01-31T12:00:00Z");
        assert_eq!(parsed_date("tomorrow").unwrap_err().errno(), libc::EINVAL);
    }

    #[test]
    fn what_cannot_be_set_has_its_number() {
        let errno = |name: &str, set| attribute_to_change(name, set).unwrap_err().errno();
        assert_eq!(errno("user.akv.id", true), libc::EPERM);
        assert_eq!(errno("user.akv.expires_on", false), libc::EOPNOTSUPP);
        assert_eq!(errno("user.akv.unknown", true), libc::ENODATA);
        assert_eq!(errno("security.selinux", true), libc::EOPNOTSUPP);
        assert!(attribute_to_change("user.akv.tag.team", false).is_ok());
    }

    #[test]
    fn fifteen_tags_are_the_limit() {
        let full: BTreeMap<_, _> = (0..15).map(|number| (number.to_string(), String::new())).collect();
        let set = ("x".to_owned(), 0);
        let error = changes(&Extended::Tag("more".to_owned()), Some(&set), full.clone()).unwrap_err();
        assert_eq!(error.errno(), libc::ENOSPC);
        assert!(changes(&Extended::Tag("3".to_owned()), Some(&set), full).is_ok());
    }
}
