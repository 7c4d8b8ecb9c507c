//! What there is in the tree, and what it is called.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::hash::Hash;

use super::FileKind;
use crate::vault::{SecretName, VersionId};

/// The inode number of the mount's root (`FUSE_ROOT_ID`).
pub const ROOT_INODE: u64 = 1;

/// Bytes of the longest name that a file may have: a scratch file's. A secret's is shorter.
pub const FILE_NAME_MAX: u32 = 255;

const SECRETS: &str = "secrets";
const VALUES: &str = "values";
const DELETED: &str = "deleted";
const BACKUPS: &str = "backups";
const CURRENT: &str = "current";
const PROPERTIES: &str = "properties.json";

/// One place in the tree. Matched without `_` everywhere, so that a new kind of place breaks the
/// build wherever it matters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// The mount itself.
    Root,
    /// `secrets/`: a directory for each live secret.
    Secrets,
    /// `values/`: a file for each enabled secret.
    Values,
    /// `secrets/NAME/`
    Secret(SecretName),
    /// `secrets/NAME/current`: the newest version's value.
    Current(SecretName),
    /// `secrets/NAME/VERSION`: one version's value.
    Version(SecretName, VersionId),
    /// `secrets/NAME/properties.json`
    Properties(SecretName),
    /// `values/NAME`: the newest version's value.
    Value(SecretName),
    /// `deleted/`: a directory for each soft-deleted secret.
    Deleted,
    /// `deleted/NAME/`
    DeletedSecret(SecretName),
    /// `deleted/NAME/properties.json`
    DeletedProperties(SecretName),
    /// `backups/`: a file for each live secret.
    Backups,
    /// `backups/NAME`: all versions of the secret in one blob.
    Backup(SecretName),
    /// A scratch file in `secrets/NAME/`. What it is called is not part of it, since it goes from name to
    /// name.
    Scratch(SecretName, FileNumber),
    /// A file that is being written in `backups/`, under whatever name.
    Restoring(FileNumber),
}

/// Tells the files apart that only this mount knows of. Never used twice within a mount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct FileNumber(pub u64);

impl Node {
    /// The place that a name leads to from this one. Whether the vault has it is another question; a
    /// name that no vault could hold leads nowhere.
    pub fn child(&self, name: &OsStr) -> Option<Node> {
        let name = name.to_str()?;
        match self {
            Node::Root => match name {
                SECRETS => Some(Node::Secrets),
                VALUES => Some(Node::Values),
                DELETED => Some(Node::Deleted),
                BACKUPS => Some(Node::Backups),
                _ => None,
            },
            Node::Secrets => SecretName::parse(name).map(Node::Secret),
            Node::Deleted => SecretName::parse(name).map(Node::DeletedSecret),
            Node::Backups => SecretName::parse(name).map(Node::Backup),
            Node::DeletedSecret(secret) => (name == PROPERTIES).then(|| Node::DeletedProperties(secret.clone())),
            Node::Values => SecretName::parse(name).map(Node::Value),
            Node::Secret(secret) => match name {
                CURRENT => Some(Node::Current(secret.clone())),
                PROPERTIES => Some(Node::Properties(secret.clone())),
                _ => VersionId::parse(name).map(|version| Node::Version(secret.clone(), version)),
            },
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => None,
            Node::DeletedProperties(_) | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => None,
        }
    }

    /// The place's name in its parent; empty for the root, and for files whose name is not part of them.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Node::Root | Node::Scratch(..) | Node::Restoring(_) => "".into(),
            Node::Secrets => SECRETS.into(),
            Node::Values => VALUES.into(),
            Node::Deleted => DELETED.into(),
            Node::Backups => BACKUPS.into(),
            Node::Secret(name) | Node::Value(name) | Node::DeletedSecret(name) | Node::Backup(name) => {
                name.as_str().into()
            }
            Node::Current(_) => CURRENT.into(),
            Node::Version(_, version) => version.to_string().into(),
            Node::Properties(_) | Node::DeletedProperties(_) => PROPERTIES.into(),
        }
    }

    /// The directory that holds it; the root holds itself.
    pub fn parent(&self) -> Node {
        match self {
            Node::Root | Node::Secrets | Node::Values | Node::Deleted | Node::Backups => Node::Root,
            Node::Secret(_) => Node::Secrets,
            Node::Value(_) => Node::Values,
            Node::DeletedSecret(_) => Node::Deleted,
            Node::DeletedProperties(name) => Node::DeletedSecret(name.clone()),
            Node::Backup(_) | Node::Restoring(_) => Node::Backups,
            Node::Current(name) | Node::Version(name, _) | Node::Properties(name) | Node::Scratch(name, _) => {
                Node::Secret(name.clone())
            }
        }
    }

    /// The way to it from the mount's root, which is `/`.
    pub fn path(&self) -> String {
        match self.parent() {
            Node::Root => format!("/{}", self.name()),
            parent => format!("{}/{}", parent.path(), self.name()),
        }
    }

    /// Directory or file.
    pub fn kind(&self) -> FileKind {
        match self {
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) => FileKind::Directory,
            Node::Deleted | Node::DeletedSecret(_) | Node::Backups => FileKind::Directory,
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => FileKind::File,
            Node::DeletedProperties(_) | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => FileKind::File,
        }
    }

    /// The secret it belongs to, in the spelling it was looked up or listed by.
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Node::Root | Node::Secrets | Node::Values | Node::Deleted | Node::Backups | Node::Restoring(_) => None,
            Node::Secret(name)
            | Node::Current(name)
            | Node::Version(name, _)
            | Node::Properties(name)
            | Node::Value(name)
            | Node::DeletedSecret(name)
            | Node::DeletedProperties(name)
            | Node::Backup(name)
            | Node::Scratch(name, _) => Some(name),
        }
    }

    /// The secret and version whose value is the file's content, if it is a value's file.
    pub fn value(&self) -> Option<(&SecretName, Option<VersionId>)> {
        match self {
            Node::Current(name) | Node::Value(name) => Some((name, None)),
            Node::Version(name, version) => Some((name, Some(*version))),
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) | Node::Properties(_) => None,
            Node::Deleted | Node::DeletedSecret(_) | Node::DeletedProperties(_) => None,
            Node::Backups | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => None,
        }
    }

    /// Whether the newest version, with its value, tells all that there is to know of the place.
    pub fn is_described_by_value(&self) -> bool {
        match self {
            Node::Secret(_) | Node::Properties(_) | Node::Current(_) | Node::Value(_) => true,
            Node::Root | Node::Secrets | Node::Values | Node::Version(..) => false,
            Node::Deleted | Node::DeletedSecret(_) | Node::DeletedProperties(_) => false,
            Node::Backups | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => false,
        }
    }

    /// The places below it that are there whatever the vault holds.
    pub fn fixed_children(&self) -> Vec<Node> {
        match self {
            Node::Root => vec![Node::Secrets, Node::Values, Node::Deleted, Node::Backups],
            Node::DeletedSecret(name) => vec![Node::DeletedProperties(name.clone())],
            Node::Secret(name) => vec![Node::Current(name.clone()), Node::Properties(name.clone())],
            Node::Secrets | Node::Values | Node::Deleted | Node::Backups => Vec::new(),
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => Vec::new(),
            Node::DeletedProperties(_) | Node::Backup(_) | Node::Scratch(..) | Node::Restoring(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(path: &str) -> Option<Node> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(Node::Root, |at, part| at.child(OsStr::new(part)))
    }

    const VERSION: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn every_place_is_found_by_its_name_and_knows_its_parent() {
        let version = format!("secrets/Db/{VERSION}");
        for path in [
            "secrets",
            "values",
            "deleted",
            "backups",
            "secrets/Db",
            "values/Db",
            "deleted/Db",
            "backups/Db",
            "secrets/Db/current",
            "secrets/Db/properties.json",
            "deleted/Db/properties.json",
            &version,
        ] {
            let node = walk(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
            assert_eq!(node.name(), path.rsplit('/').next().unwrap());
            assert_eq!(node.parent().child(OsStr::new(&*node.name())), Some(node));
        }
    }

    #[test]
    fn names_that_no_vault_could_hold_lead_nowhere() {
        for path in
            ["x", "secrets/a_b", "values/a.b", "values/.git", "secrets/Db/other", "values/a/b", "deleted/Db/current"]
        {
            assert_eq!(walk(path), None, "{path}");
        }
    }

    #[test]
    fn spelling_makes_no_other_place() {
        assert_eq!(walk("values/DB"), walk("values/db"));
        assert_ne!(walk("values/db"), walk("secrets/db"));
    }
}
