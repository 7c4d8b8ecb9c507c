//! The lasting form of secrets, in backups and in the store: JSON, to be encrypted by who keeps it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::model::{NewSecret, Secret, SecretName, State, Tags, Version, VersionId};

/// What a vault has from when it was made, and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Properties {
    pub(super) retention_days: u32,
    pub(super) purge_protection: bool,
}

/// Bytes of a vault's properties.
pub(super) fn encode_properties(properties: &Properties) -> Zeroizing<Vec<u8>> {
    encode(properties)
}

/// Reads `encode_properties`'s bytes back.
pub(super) fn decode_properties(bytes: &[u8]) -> Option<Properties> {
    serde_json::from_slice(bytes).ok()
}

/// A secret without its versions.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    name: SecretName,
    latest: VersionId,
    state: State,
}

impl Head {
    fn of(secret: &Secret) -> Self {
        Head { name: secret.name.clone(), latest: secret.latest, state: secret.state }
    }

    pub(super) fn into_secret(self, versions: BTreeMap<VersionId, Box<Version>>) -> Secret {
        Secret { name: self.name, latest: self.latest, state: self.state, versions }
    }
}

/// A secret with all its versions.
#[derive(Serialize, Deserialize)]
struct WholeRecord<'a> {
    head: Head,
    versions: Vec<VersionRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct VersionRecord<'a> {
    id: VersionId,
    value: Cow<'a, str>,
    content_type: Option<String>,
    tags: Tags,
    enabled: bool,
    nbf: Option<i64>,
    exp: Option<i64>,
    managed: bool,
    created: i64,
    updated: i64,
    previous: Option<VersionId>,
}

/// Bytes of a secret with all its versions, wiped when dropped.
pub(super) fn encode_whole(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let versions = secret.versions.values().map(|version| VersionRecord::of(version)).collect();
    encode(&WholeRecord { head: Head::of(secret), versions })
}

/// Reads `encode_whole`'s bytes back.
pub(super) fn decode_whole(bytes: &[u8]) -> Option<Secret> {
    let record: WholeRecord<'_> = serde_json::from_slice(bytes).ok()?;
    let versions = record.versions.into_iter().map(VersionRecord::read);
    let secret = record.head.into_secret(versions.map(|version| (version.id, Box::new(version))).collect());
    secret.versions.contains_key(&secret.latest).then_some(secret)
}

/// Bytes of a secret without its versions.
pub(super) fn encode_head(secret: &Secret) -> Zeroizing<Vec<u8>> {
    encode(&Head::of(secret))
}

/// Reads `encode_head`'s bytes back.
pub(super) fn decode_head(bytes: &[u8]) -> Option<Head> {
    serde_json::from_slice(bytes).ok()
}

/// Bytes of one version.
pub(super) fn encode_version(version: &Version) -> Zeroizing<Vec<u8>> {
    encode(&VersionRecord::of(version))
}

/// Reads `encode_version`'s bytes back.
pub(super) fn decode_version(bytes: &[u8]) -> Option<Version> {
    serde_json::from_slice::<VersionRecord<'_>>(bytes).ok().map(VersionRecord::read)
}

/// The records of this file, strings and numbers under string keys, always have a JSON form.
fn encode(record: &impl Serialize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(record).unwrap_or_default())
}

impl<'a> VersionRecord<'a> {
    fn of(version: &'a Version) -> Self {
        let content = &version.content;
        VersionRecord {
            id: version.id,
            value: content.value.expose().into(),
            content_type: content.content_type.clone(),
            tags: content.tags.clone(),
            enabled: content.enabled,
            nbf: content.not_before,
            exp: content.expires_on,
            managed: content.managed,
            created: version.created,
            updated: version.updated,
            previous: version.previous,
        }
    }

    fn read(self) -> Version {
        let content = NewSecret {
            value: self.value.into_owned().into(),
            content_type: self.content_type,
            tags: self.tags,
            enabled: self.enabled,
            not_before: self.nbf,
            expires_on: self.exp,
            managed: self.managed,
        };
        let VersionRecord { id, created, updated, previous, .. } = self;
        Version { id, content, created, updated, previous }
    }
}
