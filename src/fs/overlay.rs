//! The tree as this mount shows it: what the vault says, and over it what is under way here.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::caller::Caller;
use super::desk::Pending;
use super::facts::times;
use super::scratch::ScratchFile;
use super::settling::Way;
use super::{Fs, FsError, Shown, deleted};
use crate::tree::{Attributes, FILE_NAME_MAX, Node};
use crate::vault::{Changes, Item, SecretName, Vault};

/// What a directory has over the vault's own listing.
#[derive(Default)]
pub(super) struct Overlay {
    /// Entries that this mount adds, in order.
    pub(super) added: Vec<(String, Node, Shown)>,
    /// Names that the listing may have, and that are not shown as it has them.
    pub(super) claimed: HashSet<SecretName>,
    /// Whether nothing but what is added is shown.
    pub(super) alone: bool,
    /// Whether `current` is shown.
    pub(super) without_current: bool,
}

impl Overlay {
    /// Whether an entry is shown that is there whatever the vault holds.
    pub(super) fn shows_fixed(&self, node: &Node) -> bool {
        let is_hidden = self.without_current && matches!(node, Node::Current(_));
        !self.alone && !is_hidden
    }
}

impl<V: Vault> Fs<V> {
    /// Finds a name in a directory (LOOKUP). A place that is found counts as told to the kernel.
    pub fn find(self: &Arc<Self>, parent: u64, name: &OsStr) -> Answer<Shown> {
        let Some(directory) = self.node(parent) else { return Answer::refused(FsError::NotFound) };
        if name.len() > FILE_NAME_MAX as usize {
            return Answer::refused(FsError::NameTooLong); // whatever is to be done with it begins here
        }
        if let Some(found) = self.found_here(&directory, name) {
            return Answer::Now(found.map(|(node, shown)| self.told_of(&node, shown)));
        }
        let Some(node) = directory.child(name) else { return Answer::refused(FsError::NotFound) };
        match node {
            Node::DeletedSecret(_) | Node::DeletedProperties(_) => {
                let fs = Arc::clone(self);
                Answer::of(async move {
                    let shown = fs.stat_deleted(&node).await?;
                    Ok(fs.told_of(&node, shown))
                })
            }
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) | Node::Current(_) | Node::Version(..) => {
                self.lookup(parent, name)
            }
            Node::Properties(_) | Node::Value(_) | Node::Deleted | Node::Backups | Node::Backup(_) => {
                self.lookup(parent, name)
            }
            Node::Scratch(..) | Node::Restoring(_) => Answer::refused(FsError::NotFound), // no name leads to these
        }
    }

    /// What `stat` shows (GETATTR); of a file that the caller is writing, what it has written.
    pub fn stat(self: &Arc<Self>, inode: u64, caller: impl FnOnce() -> Caller) -> Answer<Shown> {
        let Some(node) = self.node(inode) else { return Answer::refused(FsError::NotFound) };
        if let Some(shown) = self.stat_here(&node, caller) {
            if let Ok(shown) = &shown {
                self.inodes.lock().tell(inode, shown.attributes.size);
            }
            return Answer::Now(shown);
        }
        let fs = Arc::clone(self);
        match node {
            Node::DeletedSecret(_) | Node::DeletedProperties(_) => {
                Answer::of(async move { fs.stat_deleted(&node).await })
            }
            Node::Backup(name) => Answer::of(async move { fs.stat_backup(&name).await }),
            _ => self.getattr(inode),
        }
    }

    /// What a name leads to by what is under way here; `None` where the vault has to say.
    fn found_here(&self, directory: &Node, name: &OsStr) -> Option<Result<(Node, Shown), FsError>> {
        let text = name.to_str()?;
        match directory {
            Node::Secret(secret) => self.found_in_secret(secret, text),
            Node::Secrets | Node::Values => {
                let name = SecretName::parse(text)?;
                let node = directory.child(OsStr::new(text))?;
                match self.work.settling.way(&name) {
                    Some(Way::Deleting(_)) => Some(Err(FsError::NotFound)),
                    Some(Way::Recovering(item)) => Some(Ok(self.of_item(&node, &item))),
                    Some(Way::Purging) | None => {
                        let pending = self.pending(&name)?;
                        let made = (pending.made_at, pending.made_at);
                        let shown = self.plain(&node, made, 0);
                        Some(if *directory == Node::Secrets { Ok((node, shown)) } else { Err(FsError::NotFound) })
                    }
                }
            }
            Node::Backups => {
                let file = self.work.restores.named(text)?;
                let node = Node::Restoring(file.number);
                let shown = self.plain(&node, (self.settings.mounted_at, self.settings.mounted_at), file.len());
                Some(Ok((node, shown)))
            }
            _ => None,
        }
    }

    /// What a name is to be here; nothing any more once the vault turns out to have a secret of that name.
    fn pending(&self, name: &SecretName) -> Option<Pending> {
        let pending = self.work.desk(name, |desk| desk.pending.clone())?;
        if self.vault.known_item(name).is_some_and(|known| known.answer.is_some()) {
            self.made_elsewhere(name);
            return None;
        }
        Some(pending)
    }

    /// Somebody else has made the secret that was to be new here.
    pub(super) fn made_elsewhere(&self, name: &SecretName) {
        self.work.desk(name, |desk| (desk.pending, desk.joined) = (None, Changes::default()));
    }

    fn found_in_secret(&self, secret: &SecretName, name: &str) -> Option<Result<(Node, Shown), FsError>> {
        let node = Node::Secret(secret.clone()).child(OsStr::new(name));
        let pending = self.pending(secret);
        let (scratch, shows_current) =
            self.work.desk(secret, |desk| (desk.scratch.get(name).cloned(), desk.shows_current()));
        if let Some(file) = scratch {
            return Some(Ok(self.of_scratch(secret, &file)));
        }
        if let Some(Way::Recovering(item)) = self.work.settling.way(secret)
            && let Some(node) = &node
        {
            return Some(Ok(self.of_item(node, &item)));
        }
        let is_current = matches!(node, Some(Node::Current(_)));
        match (pending, shows_current) {
            (_, false) if is_current => Some(Err(FsError::NotFound)),
            (Some(pending), true) if is_current => {
                let node = node?;
                let shown = self.plain(&node, (pending.made_at, pending.made_at), 0);
                Some(Ok((node, shown)))
            }
            (Some(_), _) => Some(Err(FsError::NotFound)),
            (None, _) => None,
        }
    }

    fn stat_here(&self, node: &Node, caller: impl FnOnce() -> Caller) -> Option<Result<Shown, FsError>> {
        match node {
            Node::Scratch(secret, number) => {
                Some(self.scratch_file(secret, *number).map(|file| self.of_scratch(secret, &file).1))
            }
            Node::Restoring(number) => {
                let mut files = self.work.restores.names().into_iter().map(|(_, file)| file);
                let size = files.find(|file| file.number == *number).map_or(0, |file| file.len());
                Some(Ok(self.plain(node, (self.settings.mounted_at, self.settings.mounted_at), size)))
            }
            Node::Deleted | Node::Backups => {
                Some(Ok(self.plain(node, (self.settings.mounted_at, self.settings.mounted_at), 0)))
            }
            Node::Secret(secret) | Node::Current(secret) => {
                let pending = self.pending(secret);
                let writers = self.work.desk(secret, |desk| desk.writers.clone());
                let written = if writers.is_empty() {
                    None
                } else {
                    let process = caller().process;
                    writers.iter().rev().filter(|writer| writer.opener == process).find_map(|writer| writer.size())
                };
                let now = super::now_unix();
                match (node, written, pending) {
                    (Node::Current(_), Some(size), _) => Some(Ok(self.plain(node, (now, now), size))),
                    (_, _, Some(pending)) => Some(Ok(self.plain(node, (pending.made_at, pending.made_at), 0))),
                    (_, _, None) => match self.work.settling.way(secret) {
                        Some(Way::Recovering(item)) => Some(Ok(self.of_item(node, &item).1)),
                        Some(Way::Deleting(_) | Way::Purging) | None => None,
                    },
                }
            }
            Node::Value(secret) | Node::Properties(secret) => match self.work.settling.way(secret) {
                Some(Way::Recovering(item)) => Some(Ok(self.of_item(node, &item).1)),
                Some(Way::Deleting(_) | Way::Purging) | None => None,
            },
            Node::Root | Node::Secrets | Node::Values | Node::Version(..) => None,
            Node::DeletedSecret(_) | Node::DeletedProperties(_) | Node::Backup(_) => None,
        }
    }

    /// What a directory shows over the vault's listing.
    pub(super) fn overlay(&self, directory: &Node) -> Overlay {
        let mut overlay = Overlay::default();
        match directory {
            Node::Secrets | Node::Values | Node::Backups => self.overlay_live(directory, &mut overlay),
            Node::Deleted => {
                for (name, way) in self.work.settling.all() {
                    if let Way::Deleting(item) = way {
                        let node = Node::DeletedSecret(name.clone());
                        let times = item.map_or((0, 0), |item| times(&item.item.properties));
                        overlay.added.push((name.to_string(), node.clone(), self.plain(&node, times, 0)));
                    }
                    overlay.claimed.insert(name);
                }
            }
            Node::Secret(secret) => {
                let is_pending = self.pending(secret).is_some();
                let scratch = self.work.desk(secret, |desk| {
                    overlay.alone = is_pending || desk.is_unlinked();
                    overlay.without_current = !desk.shows_current();
                    desk.scratch.iter().map(|(name, file)| (name.clone(), Arc::clone(file))).collect::<Vec<_>>()
                });
                if overlay.alone && !overlay.without_current {
                    let node = Node::Current(secret.clone());
                    overlay.added.push(("current".to_owned(), node.clone(), self.plain(&node, (0, 0), 0)));
                }
                for (name, file) in scratch {
                    let (node, shown) = self.of_scratch(secret, &file);
                    overlay.added.push((name, node, shown));
                }
            }
            _ => {}
        }
        overlay
    }

    fn overlay_live(&self, directory: &Node, overlay: &mut Overlay) {
        for (name, way) in self.work.settling.all() {
            if let (Way::Recovering(item), true) = (way, *directory != Node::Backups)
                && let Some(node) = directory.child(OsStr::new(name.as_str()))
            {
                let (node, shown) = self.of_item(&node, &item);
                overlay.added.push((item.name.to_string(), node, shown));
            }
            overlay.claimed.insert(name);
        }
        if *directory == Node::Secrets {
            let desks = self.work.desks.lock();
            let names = desks.iter().filter(|(_, desk)| desk.pending.is_some()).map(|(name, _)| name.clone());
            let names = names.collect::<Vec<_>>();
            drop(desks);
            for pending in names.iter().filter_map(|name| self.pending(name)) {
                let node = Node::Secret(pending.name.clone());
                let shown = self.plain(&node, (pending.made_at, pending.made_at), 0);
                overlay.added.push((pending.name.to_string(), node, shown));
                overlay.claimed.insert(pending.name);
            }
        }
        if *directory == Node::Backups {
            for (name, file) in self.work.restores.names() {
                let node = Node::Restoring(file.number);
                let shown = self.plain(&node, (self.settings.mounted_at, self.settings.mounted_at), file.len());
                if let Some(name) = SecretName::parse(&name) {
                    overlay.claimed.insert(name);
                }
                overlay.added.push((name, node, shown));
            }
        }
    }

    async fn stat_deleted(&self, node: &Node) -> Result<Shown, FsError> {
        let name = node.secret().ok_or(FsError::NotFound)?;
        let deleted = self.deleted(name).await?.ok_or(FsError::NotFound)?;
        let size = match node {
            Node::DeletedProperties(_) if self.work.deleted.is_emptied(name) => return Err(FsError::NotFound),
            Node::DeletedProperties(_) => deleted::rendered(&deleted).len() as u64,
            _ => 0,
        };
        Ok(self.plain(node, times(&deleted.item.properties), size))
    }

    fn of_item(&self, node: &Node, item: &Item) -> (Node, Shown) {
        (node.clone(), self.plain(node, times(&item.properties), 0))
    }

    pub(super) fn of_scratch(&self, secret: &SecretName, file: &ScratchFile) -> (Node, Shown) {
        let node = Node::Scratch(secret.clone(), file.number);
        let is_named = self.work.desk(secret, |desk| desk.scratch_file(file.number).is_some());
        let content = file.content.lock();
        let mut shown = self.plain(&node, (content.modified, content.modified), content.bytes.len() as u64);
        let attributes = &mut shown.attributes;
        // It may hold what is to be the value: others see no more of it than of that.
        let mode = content.mode & (0o700 | self.settings.ownership.file_mode);
        (attributes.mode, attributes.uid, attributes.gid) = (mode, content.uid, content.gid);
        attributes.links = u32::from(is_named || content.placed);
        (node, shown)
    }

    /// A place with these times and this size, which the kernel asks for again each time.
    pub(super) fn plain(&self, node: &Node, times: (i64, i64), size: u64) -> Shown {
        let inode = self.inodes.lock().number(node);
        let attributes = Attributes::of(node, inode, &self.settings.ownership, times, size);
        Shown { attributes, attributes_for: Duration::ZERO, name_for: Duration::ZERO }
    }

    /// The kernel is told of a place by its name.
    pub(super) fn told_of(&self, node: &Node, shown: Shown) -> Shown {
        self.inodes.lock().remember(node, shown.attributes.inode, shown.attributes.size);
        shown
    }
}
