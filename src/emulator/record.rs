//! The lasting form of secrets, in backups and in the store: JSON, to be encrypted by who keeps it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::model::{NewSecret, Secret, SecretName, State, Tags, Version, VersionId};

/// A secret with all its versions, but without its state.
#[derive(Serialize, Deserialize)]
struct SecretRecord<'a> {
    name: String,
    latest: String,
    versions: Vec<VersionRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct VersionRecord<'a> {
    id: String,
    value: Cow<'a, str>,
    content_type: Option<String>,
    tags: Tags,
    enabled: bool,
    nbf: Option<i64>,
    exp: Option<i64>,
    managed: bool,
    created: i64,
    updated: i64,
    previous: Option<String>,
}

/// The record of a secret as bytes, wiped when dropped.
pub(super) fn encode_secret(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let record = SecretRecord {
        name: secret.name.as_str().to_owned(),
        latest: secret.latest.to_string(),
        versions: secret.versions.values().map(VersionRecord::of).collect(),
    };
    // Strings, numbers and string keys always have a JSON form.
    Zeroizing::new(serde_json::to_vec(&record).unwrap_or_default())
}

/// Reads `encode_secret`'s bytes back, as a live secret.
pub(super) fn decode_secret(bytes: &[u8]) -> Option<Secret> {
    let record: SecretRecord<'_> = serde_json::from_slice(bytes).ok()?;
    let versions = record.versions.into_iter().map(|version| Some((VersionId::parse(&version.id)?, version.read()?)));
    let secret = Secret {
        name: SecretName::parse(&record.name)?,
        latest: VersionId::parse(&record.latest)?,
        versions: versions.collect::<Option<_>>()?,
        state: State::Live,
    };
    secret.versions.contains_key(&secret.latest).then_some(secret)
}

impl<'a> VersionRecord<'a> {
    fn of(version: &'a Version) -> Self {
        let content = &version.content;
        VersionRecord {
            id: version.id.to_string(),
            value: content.value.expose().into(),
            content_type: content.content_type.clone(),
            tags: content.tags.clone(),
            enabled: content.enabled,
            nbf: content.not_before,
            exp: content.expires_on,
            managed: content.managed,
            created: version.created,
            updated: version.updated,
            previous: version.previous.map(|id| id.to_string()),
        }
    }

    fn read(self) -> Option<Version> {
        let previous = match self.previous {
            Some(id) => Some(VersionId::parse(&id)?),
            None => None,
        };
        let content = NewSecret {
            value: self.value.into_owned().into(),
            content_type: self.content_type,
            tags: self.tags,
            enabled: self.enabled,
            not_before: self.nbf,
            expires_on: self.exp,
            managed: self.managed,
        };
        let (created, updated) = (self.created, self.updated);
        Some(Version { id: VersionId::parse(&self.id)?, content, created, updated, previous })
    }
}
