//! What is told of a remembered value that is no longer what it was.

use std::collections::BTreeMap;

use crate::vault::{Properties, Secret, SecretName, VersionId};

/// The tag by which a value's encoding is known (`az keyvault secret set --encoding`): with another one
/// the same text stands for other bytes.
const ENCODING_TAG: &str = "file-encoding";

/// A secret that is no longer what this mount remembered of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub name: SecretName,
    /// In what way.
    pub kind: ChangeKind,
}

/// In what way a secret has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its newest version has other bytes than the newest one before.
    Value {
        /// The newest version until now.
        old: VersionId,
        /// The newest version.
        new: VersionId,
    },
    /// The bytes are the same, and something else is not.
    Properties,
    /// It can no longer be read: deleted, disabled or refused.
    Gone,
}

/// How the newest version differs from what it was; `None` if it does not.
pub(super) fn between(old: &Secret, new: &Secret) -> Option<ChangeKind> {
    let same_bytes = old.value.expose() == new.value.expose();
    if !same_bytes || encoding(&old.properties) != encoding(&new.properties) {
        return Some(ChangeKind::Value { old: old.version, new: new.version });
    }
    (old.version != new.version || old.properties != new.properties).then_some(ChangeKind::Properties)
}

fn encoding(properties: &Properties) -> Option<&String> {
    properties.tags.as_ref().and_then(|tags: &BTreeMap<String, String>| tags.get(ENCODING_TAG))
}
