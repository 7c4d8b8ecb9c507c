//! Setting extended attributes: one update of the properties, or part of the next write.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{Answer, Done};
use super::{Fs, FsError};
use crate::tree::{Extended, Node};
use crate::vault::{Changes, SecretName, Vault, VersionId};

/// Limits of the service.
const TAGS_MAX: usize = 15;
const TAG_MAX: usize = 512;
const CONTENT_TYPE_MAX: usize = 255;

impl<V: Vault> Fs<V> {
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
    use crate::fs::extended::date;

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
