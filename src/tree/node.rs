//! What there is in the tree, and what it is called.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::hash::Hash;

use super::FileKind;
use crate::vault::{SecretName, VersionId};

/// The inode number of the mount's root (`FUSE_ROOT_ID`).
pub const ROOT_INODE: u64 = 1;

const SECRETS: &str = "secrets";
const VALUES: &str = "values";
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
}

impl Node {
    /// The place that a name leads to from this one. Whether the vault has it is another question; a
    /// name that no vault could hold leads nowhere.
    pub fn child(&self, name: &OsStr) -> Option<Node> {
        let name = name.to_str()?;
        match self {
            Node::Root => match name {
                SECRETS => Some(Node::Secrets),
                VALUES => Some(Node::Values),
                _ => None,
            },
            Node::Secrets => SecretName::parse(name).map(Node::Secret),
            Node::Values => SecretName::parse(name).map(Node::Value),
            Node::Secret(secret) => match name {
                CURRENT => Some(Node::Current(secret.clone())),
                PROPERTIES => Some(Node::Properties(secret.clone())),
                _ => VersionId::parse(name).map(|version| Node::Version(secret.clone(), version)),
            },
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => None,
        }
    }

    /// The place's name in its parent; empty for the root.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Node::Root => "".into(),
            Node::Secrets => SECRETS.into(),
            Node::Values => VALUES.into(),
            Node::Secret(name) | Node::Value(name) => name.as_str().into(),
            Node::Current(_) => CURRENT.into(),
            Node::Version(_, version) => version.to_string().into(),
            Node::Properties(_) => PROPERTIES.into(),
        }
    }

    /// The directory that holds it; the root holds itself.
    pub fn parent(&self) -> Node {
        match self {
            Node::Root | Node::Secrets | Node::Values => Node::Root,
            Node::Secret(_) => Node::Secrets,
            Node::Value(_) => Node::Values,
            Node::Current(name) | Node::Version(name, _) | Node::Properties(name) => Node::Secret(name.clone()),
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
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => FileKind::File,
        }
    }

    /// The secret it belongs to, in the spelling it was looked up or listed by.
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Node::Root | Node::Secrets | Node::Values => None,
            Node::Secret(name)
            | Node::Current(name)
            | Node::Version(name, _)
            | Node::Properties(name)
            | Node::Value(name) => Some(name),
        }
    }

    /// The secret and version whose value is the file's content, if it is a value's file.
    pub fn value(&self) -> Option<(&SecretName, Option<VersionId>)> {
        match self {
            Node::Current(name) | Node::Value(name) => Some((name, None)),
            Node::Version(name, version) => Some((name, Some(*version))),
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) | Node::Properties(_) => None,
        }
    }

    /// The places below it that are there whatever the vault holds.
    pub fn fixed_children(&self) -> Vec<Node> {
        match self {
            Node::Root => vec![Node::Secrets, Node::Values],
            Node::Secret(name) => vec![Node::Current(name.clone()), Node::Properties(name.clone())],
            Node::Secrets | Node::Values => Vec::new(),
            Node::Current(_) | Node::Version(..) | Node::Properties(_) | Node::Value(_) => Vec::new(),
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
        for path in ["secrets", "values", "secrets/Db", "values/Db", "secrets/Db/current", "secrets/Db/properties.json"]
            .into_iter()
            .chain([format!("secrets/Db/{VERSION}").as_str()])
        {
            let node = walk(path).unwrap_or_else(|| panic!("{path} leads nowhere"));
            assert_eq!(node.name(), path.rsplit('/').next().unwrap());
            assert_eq!(node.parent().child(OsStr::new(&*node.name())), Some(node));
        }
    }

    #[test]
    fn names_that_no_vault_could_hold_lead_nowhere() {
        for path in
            ["x", "secrets/a_b", "values/a.b", "values/.git", "secrets/Db/other", "values/a/b", "secrets/Db/CURRENT"]
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
