//! What is known of a place, and how it is found out with the fewest requests.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::encoding::shown_len;
use super::properties::rendered;
use super::{Fs, FsError, Shown};
use crate::tree::{Attributes, FileKind, Node};
use crate::vault::{Item, Known, Page, Properties, Secret, SecretName, Vault, VaultError, VersionId};

/// How long LOOKUP waits where no listing knows the name. Until it is answered the directory takes no
/// creation, and a READDIRPLUS that meets the name waits for it.
pub(super) const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// For how long the kernel may keep what never changes.
pub(super) const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// What is known of one place.
pub(super) struct Facts {
    /// When the content, and when anything, last changed; unix seconds.
    times: (i64, i64),
    /// Bytes, where known.
    size: Option<u64>,
    /// The secret's name in the vault's own spelling, where known.
    name: Option<SecretName>,
    /// How much longer this counts as fresh.
    fresh_for: Duration,
}

impl Facts {
    const UNKNOWN: Facts = Facts { times: (0, 0), size: None, name: None, fresh_for: Duration::ZERO };
}

/// What the vault says of a secret or a version: all of it, or all but the value.
pub(super) enum Description {
    Whole(Arc<Secret>),
    /// The value is refused; the listing still has the properties.
    WithoutValue(Box<Item>),
}

impl Description {
    pub(super) fn properties(&self) -> &Properties {
        match self {
            Description::Whole(secret) => &secret.properties,
            Description::WithoutValue(item) => &item.properties,
        }
    }

    fn name(&self) -> &SecretName {
        match self {
            Description::Whole(secret) => &secret.name,
            Description::WithoutValue(item) => &item.name,
        }
    }

    fn facts(&self, node: &Node, fresh_for: Duration) -> Facts {
        let size = match (node, self) {
            (Node::Properties(_), _) => Some(rendered(self.properties()).len() as u64),
            (_, Description::Whole(secret)) => Some(shown_len(secret)),
            (_, Description::WithoutValue(_)) => Some(0), // refused: there is nothing to read
        };
        Facts { times: times(self.properties()), size, name: Some(self.name().clone()), fresh_for }
    }
}

impl<V: Vault> Fs<V> {
    /// What LOOKUP needs: whether the place is there. Nothing is asked for as long as a listing knows the
    /// name. Where none does, one request decides, which is one that an open or `ls` would need as well.
    pub(super) async fn for_lookup(self: &Arc<Self>, node: &Node) -> Result<Facts, FsError> {
        if let Some(facts) = self.known_now(node) {
            return facts.map(|facts| self.unless_written(node, facts));
        }
        match tokio::time::timeout(LOOKUP_LIMIT, self.asked(node)).await {
            Ok(facts) => facts.map(|facts| self.unless_written(node, facts)),
            // Nobody knows yet. The name is let through unseen and kept by nobody; the open or stat
            // behind it waits for the same request, and tells the truth.
            Err(_) => Ok(Facts::UNKNOWN),
        }
    }

    /// Everything `stat` shows, the exact size included.
    pub(super) async fn for_stat(self: &Arc<Self>, node: &Node) -> Result<Facts, FsError> {
        let known = match node.kind() {
            FileKind::Directory => self.known_now(node),
            FileKind::File => self.known_by_value(node),
        };
        match (known, node.value()) {
            (Some(facts), _) => facts,
            (None, Some(_)) if self.settings.lazy_sizes => self.for_lookup(node).await,
            (None, Some((name, version))) => {
                self.size_was_missing(node);
                self.described(node, name, version).await
            }
            (None, None) => self.asked(node).await,
        }
    }

    /// What the vault says of a place, with no more than it takes: a directory needs no value.
    async fn asked(&self, node: &Node) -> Result<Facts, FsError> {
        match node {
            Node::Root | Node::Secrets | Node::Values | Node::Deleted | Node::Backups => Ok(self.fixed_facts()),
            Node::Current(name) | Node::Value(name) | Node::Properties(name) => self.described(node, name, None).await,
            Node::Secret(name) => match self.newest_listed(name).await? {
                Some(newest) => Ok(item_facts(node, &newest, Duration::ZERO)),
                None => self.described(node, name, None).await,
            },
            Node::Version(name, version) => match self.listed_version(name, *version).await? {
                Some(item) => Ok(item_facts(node, &item, Duration::ZERO)),
                None => self.described(node, name, Some(*version)).await,
            },
            // A backup is there if its secret is; it takes a backup to know its size.
            Node::Backup(name) => Ok(Facts {
                size: None,
                fresh_for: Duration::ZERO,
                ..Box::pin(self.asked(&Node::Secret(name.clone()))).await?
            }),
            // Asked for elsewhere: the deleted ones of their own, the others of nobody.
            Node::DeletedSecret(_) | Node::DeletedProperties(_) | Node::Scratch(..) | Node::Restoring(_) => {
                Err(FsError::NotFound)
            }
        }
    }

    /// The newest of a secret's versions, as their listing has it. `None` where that cannot decide: it is
    /// refused, or empty, which a name made a moment ago may still be.
    async fn newest_listed(&self, name: &SecretName) -> Result<Option<Item>, FsError> {
        let mut newest: Option<Item> = None;
        let mut pages = self.vault.versions(name);
        while let Some(page) = pages.next().await {
            let Some(page) = unless_refused(page)? else { return Ok(None) };
            let of_page = page.iter().max_by_key(|item| times(&item.properties));
            if newest.as_ref().map(|item| times(&item.properties)) < of_page.map(|item| times(&item.properties)) {
                newest = of_page.cloned();
            }
        }
        Ok(newest)
    }

    /// One version, as the listing of versions has it; `None` where that cannot decide.
    async fn listed_version(&self, name: &SecretName, version: VersionId) -> Result<Option<Item>, FsError> {
        let mut pages = self.vault.versions(name);
        while let Some(page) = pages.next().await {
            let Some(page) = unless_refused(page)? else { return Ok(None) };
            if let Some(item) = page.iter().find(|item| item.version == Some(version)) {
                return Ok(Some(item.clone()));
            }
        }
        Ok(None)
    }

    /// The secret, with its value if the vault gives it. `None` if there is none.
    pub(super) async fn describe(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
    ) -> Result<Option<Description>, FsError> {
        match self.vault.get(name, version).await {
            Ok(found) => Ok(found.map(Description::Whole)),
            Err(error) if error.is_definite() => self.item(name, version, error).await,
            Err(error) => Err(error.into()),
        }
    }

    /// What a listing says of a secret whose value is refused; the refusal, if it says nothing.
    async fn item(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        refusal: VaultError,
    ) -> Result<Option<Description>, FsError> {
        if let (None, Some(Known { answer: Some(item), .. })) = (version, self.vault.known_item(name)) {
            return Ok(Some(Description::WithoutValue(item.into())));
        }
        let mut pages = match version {
            None => self.vault.secrets(),
            Some(_) => self.vault.versions(name),
        };
        while let Some(Ok(page)) = pages.next().await {
            if let Some(item) = page.iter().find(|item| item.name == *name && item.version == version) {
                return Ok(Some(Description::WithoutValue(item.clone().into())));
            }
        }
        Err(refusal.into())
    }

    async fn described(&self, node: &Node, name: &SecretName, version: Option<VersionId>) -> Result<Facts, FsError> {
        let description = self.describe(name, version).await?.ok_or(FsError::NotFound)?;
        let fresh_for = self.vault.peek(name, version).map_or(Duration::ZERO, |known| known.fresh_for);
        Ok(description.facts(node, fresh_for))
    }

    /// What is known of a place now, from values or the listing of secrets, without a request.
    fn known_now(&self, node: &Node) -> Option<Result<Facts, FsError>> {
        let name = match node {
            Node::Root | Node::Secrets | Node::Values | Node::Deleted | Node::Backups => {
                return Some(Ok(self.fixed_facts()));
            }
            Node::Version(..) => return self.known_by_value(node),
            Node::DeletedSecret(_) | Node::DeletedProperties(_) | Node::Scratch(..) | Node::Restoring(_) => {
                return None;
            }
            Node::Backup(name) => {
                let Known { answer, .. } = self.vault.known_item(name)?;
                return Some(answer.ok_or(FsError::NotFound).map(|item| item_facts(node, &item, Duration::ZERO)));
            }
            Node::Secret(name) | Node::Current(name) | Node::Properties(name) | Node::Value(name) => name,
        };
        if let Some(facts) = self.known_by_value(node) {
            return Some(facts);
        }
        let Known { answer, fresh_for } = self.vault.known_item(name)?;
        Some(answer.ok_or(FsError::NotFound).map(|item| item_facts(node, &item, fresh_for)))
    }

    /// The same from values alone. A refusal says nothing about the rest.
    pub(super) fn known_by_value(&self, node: &Node) -> Option<Result<Facts, FsError>> {
        let (name, version) = match node.value() {
            Some(value) => value,
            None if node.is_described_by_value() => (node.secret()?, None),
            None => return None,
        };
        let Known { answer, fresh_for } = self.vault.peek(name, version)?;
        let found = answer.ok()?;
        Some(found.ok_or(FsError::NotFound).map(|secret| Description::Whole(secret).facts(node, fresh_for)))
    }

    /// The same where nothing need be known: the entry that a directory always has.
    pub(super) fn known_or_unknown(&self, node: &Node) -> Facts {
        let known = self.known_now(node).and_then(Result::ok).unwrap_or(Facts::UNKNOWN);
        self.unless_written(node, known)
    }

    /// While a file is being written, the kernel has the size that its writer was told, and nobody who looks
    /// for the name takes that away.
    fn unless_written(&self, node: &Node, facts: Facts) -> Facts {
        let is_written = match node {
            Node::Current(name) if self.settings.writing.writable => {
                self.work.desk(name, |desk| !desk.writers.is_empty())
            }
            _ => false,
        };
        if is_written { Facts { size: None, ..facts } } else { facts }
    }

    fn fixed_facts(&self) -> Facts {
        let mounted_at = self.settings.mounted_at;
        Facts { times: (mounted_at, mounted_at), size: Some(0), name: None, fresh_for: FOREVER }
    }

    /// What the kernel is told of a place. What has no size yet keeps the one that the kernel was told
    /// before, since a smaller one would cut off whoever maps the file, and is asked for again.
    pub(super) fn shown(&self, node: &Node, facts: &Facts) -> Shown {
        let (inode, told) = self.inodes.lock().number_and_size(node);
        let (size, attributes_for) = match (node.kind(), facts.size) {
            (FileKind::Directory, _) => (0, facts.fresh_for),
            (FileKind::File, Some(size)) => (size, facts.fresh_for),
            (FileKind::File, None) => (told, Duration::ZERO),
        };
        // Another spelling than the vault's own gets no lease, so that all spellings stay fresh.
        let same = |own: &SecretName| node.secret().is_none_or(|name| name.is_spelled(own.as_str()));
        let name_for = if facts.name.as_ref().is_none_or(same) { facts.fresh_for } else { Duration::ZERO };
        let name_for = if self.may_move(node) { Duration::ZERO } else { name_for };
        let attributes = Attributes::of(node, inode, &self.settings.ownership, facts.times, size);
        if self.settings.writing.writable {
            // What this mount changes shows at once, and a name moves from place to place: the kernel asks.
            return Shown { attributes, attributes_for: Duration::ZERO, name_for: Duration::ZERO };
        }
        Shown { attributes, attributes_for, name_for }
    }
}

/// A refusal is an answer that only says that somebody else has to be asked; an outage is none.
fn unless_refused(page: Result<Page, VaultError>) -> Result<Option<Page>, FsError> {
    match page {
        Ok(page) => Ok(Some(page)),
        Err(error) if error.is_definite() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a listing's entry says of a place.
pub(super) fn item_facts(node: &Node, item: &Item, fresh_for: Duration) -> Facts {
    let size = match node.kind() {
        FileKind::Directory => Some(0),
        FileKind::File if !item.properties.enabled && node.value().is_some() => Some(0),
        FileKind::File => None, // a listing has no values
    };
    Facts { times: times(&item.properties), size, name: Some(item.name.clone()), fresh_for }
}

/// When the content, and when anything, last changed; unix seconds.
pub(super) fn times(properties: &Properties) -> (i64, i64) {
    (properties.created_on, properties.updated_on)
}
