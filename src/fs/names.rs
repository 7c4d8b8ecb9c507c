//! Making and removing: what each name in the tree takes.

use std::ffi::OsStr;
use std::sync::Arc;

use super::answer::{Answer, Done};
use super::caller::Caller;
use super::desk::Pending;
use super::scratch::{self, ScratchFile};
use super::writing::Target;
use super::{Fs, FsError, Shown, now_unix};
use crate::tree::{FileNumber, Node};
use crate::vault::{SecretName, Vault, VaultError, VaultErrorKind};

/// Secrets that may wait for their first value at once.
const PENDING_MAX: usize = 1000;

impl<V: Vault> Fs<V> {
    /// The place behind a number, whatever it is.
    pub(super) fn parent(&self, inode: u64) -> Result<Node, FsError> {
        self.node(inode).ok_or(FsError::NotFound)
    }

    /// Makes a file and opens it (CREATE).
    ///
    /// # Errors
    /// A name that no file may have here, with what to do instead.
    pub fn create(
        self: &Arc<Self>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
        caller: &Caller,
    ) -> Result<(Shown, u64), FsError> {
        self.writable()?;
        let directory = self.parent(parent)?;
        match &directory {
            Node::Secret(secret) => match directory.child(name) {
                Some(Node::Current(_)) => self.create_current(secret, flags, caller),
                Some(_) => Err(FsError::NotPermitted(
                    "versions and properties are the vault's to make: write `current`".into(),
                )),
                None => self.create_scratch(secret, name, mode, flags, caller),
            },
            Node::Backups => {
                let name = name.to_str().ok_or(FsError::Invalid("a file name here is UTF-8".into()))?;
                let (node, handle) = self.open_restore(name, caller);
                let shown = self.plain(&node, (now_unix(), now_unix()), 0);
                Ok((self.told_of(&node, shown), handle))
            }
            Node::Secrets => {
                Err(FsError::NotPermitted("a secret is a directory here: mkdir NAME, then write NAME/current".into()))
            }
            Node::Values => Err(FsError::NotPermitted(
                "values/ is for reading: mkdir secrets/NAME, then write secrets/NAME/current".into(),
            )),
            _ => Err(FsError::NotPermitted("no file can be made here".into())),
        }
    }

    fn create_current(
        self: &Arc<Self>,
        secret: &SecretName,
        flags: i32,
        caller: &Caller,
    ) -> Result<(Shown, u64), FsError> {
        let node = Node::Current(secret.clone());
        let is_there = self.work.desk(secret, |desk| desk.pending.is_none() && desk.hidden.is_none());
        if is_there && flags & libc::O_EXCL != 0 {
            return Err(FsError::Exists("the secret has a value".into()));
        }
        let handle = self.open_current(secret, flags & libc::O_TRUNC != 0, caller)?;
        let shown = self.plain(&node, (now_unix(), now_unix()), 0);
        Ok((self.told_of(&node, shown), handle))
    }

    fn create_scratch(
        self: &Arc<Self>,
        secret: &SecretName,
        name: &OsStr,
        mode: u32,
        flags: i32,
        caller: &Caller,
    ) -> Result<(Shown, u64), FsError> {
        let name = self.scratch_name(name)?;
        let (file, is_new) = self.work.desk(secret, |desk| {
            if let Some(file) = desk.scratch.get(name) {
                return Ok((Arc::clone(file), false));
            }
            if desk.scratch.len() >= scratch::FILES_MAX {
                return Err(FsError::NoSpace("too many scratch files of one secret: remove some".into()));
            }
            let mode = u16::try_from(mode & 0o777).unwrap_or(0o600);
            let file = Arc::new(ScratchFile::new(self.work.number(), mode, caller, now_unix()));
            desk.scratch.insert(name.to_owned(), Arc::clone(&file));
            Ok((file, true))
        })?;
        if !is_new && flags & libc::O_EXCL != 0 {
            return Err(FsError::Exists("a scratch file of this name is there".into()));
        }
        self.keep_house();
        let handle = self.open_scratch(secret, Arc::clone(&file), flags & libc::O_TRUNC != 0, caller)?;
        let (node, shown) = self.of_scratch(secret, &file);
        Ok((self.told_of(&node, shown), handle))
    }

    pub(super) fn scratch_name<'a>(&self, name: &'a OsStr) -> Result<&'a str, FsError> {
        let text = name.to_str().filter(|text| scratch::is_scratch_name(text, &self.settings.writing.scratch));
        text.ok_or_else(|| {
            FsError::NotPermitted(
                "only `current` has a value here, and editors' scratch files: is this a typing error? If a program needs \
                 the name, mount with --scratch PATTERN"
                    .into(),
            )
        })
    }

    /// Makes a directory (MKDIR): a secret that is to be.
    pub fn mkdir(self: &Arc<Self>, parent: u64, name: &OsStr, caller: &Caller) -> Answer<Shown> {
        if let Err(error) = self.writable() {
            return Answer::refused(error);
        }
        if !matches!(self.parent(parent), Ok(Node::Secrets)) {
            return Answer::refused(FsError::NotPermitted("directories can be made in secrets/ alone".into()));
        }
        let Some(name) = name.to_str().and_then(SecretName::parse) else {
            return Answer::refused(FsError::Invalid(
                "a secret's name has 1 to 127 letters, digits and dashes, and nothing else".into(),
            ));
        };
        let (fs, caller) = (Arc::clone(self), *caller);
        self.change(async move {
            let lock = fs.work.locks.of(&name);
            let _one_at_a_time = lock.lock().await;
            let node = Node::Secret(name.clone());
            if fs.free_for(&name).await? {
                let desks = fs.work.desks.lock();
                let waiting = desks.values().filter(|desk| desk.pending.is_some()).count();
                drop(desks);
                if waiting >= PENDING_MAX {
                    return Err(FsError::NoSpace("too many new secrets wait for a value".into()));
                }
                fs.vault.refresh(Some(&name)); // what was listed before says nothing about it
                fs.work.desk(&name, |desk| {
                    desk.pending = Some(Pending::new(name.clone(), now_unix()));
                    desk.signed_by(caller.process);
                });
                fs.keep_house();
            }
            let shown = fs.plain(&node, (now_unix(), now_unix()), 0);
            Ok(Done::from(fs.told_of(&node, shown)))
        })
    }

    /// Whether the name is free; false if it is a deleted secret's that has been asked to come back.
    async fn free_for(self: &Arc<Self>, name: &SecretName) -> Result<bool, FsError> {
        let taken = || Err(FsError::Exists("there is a secret of this name".into()));
        if self.work.desk(name, |desk| desk.pending.is_some()) || self.work.settling.is_recovering(name) {
            return taken();
        }
        match self.vault.get_now(name, None).await {
            Ok(Some(_)) => return taken(),
            Err(VaultError { kind: VaultErrorKind::Disabled, .. }) => return taken(),
            // Who may not read finds out when the value is set.
            Err(VaultError { kind: VaultErrorKind::Denied(_), .. }) | Ok(None) => {}
            Err(error) => return Err(error.into()),
        }
        let deleted = match self.deleted(name).await {
            Ok(deleted) => deleted.is_some(),
            Err(FsError::Vault(VaultError { kind: VaultErrorKind::Denied(_), .. })) => false,
            Err(error) => return Err(error),
        };
        if !deleted {
            return Ok(true);
        }
        if self.settings.writing.recover_deleted {
            let (fs, name) = (Arc::clone(self), name.clone());
            // The lock is ours already.
            return fs.recover_locked(&name).await.map(|()| false);
        }
        Err(FsError::Exists(
            "a soft-deleted secret still has this name: bring it back with `mv deleted/NAME secrets/`, purge it, or mount \
             with --on-deleted recover"
                .into(),
        ))
    }

    /// Removes a name (UNLINK).
    ///
    /// # Errors
    /// What cannot be removed by itself.
    pub fn unlink(self: &Arc<Self>, parent: u64, name: &OsStr, caller: &Caller) -> Result<(), FsError> {
        self.writable()?;
        let directory = self.parent(parent)?;
        if let Node::Secret(secret) = &directory
            && let Some(text) = name.to_str()
            && self.work.desk(secret, |desk| desk.scratch.remove(text).is_some())
        {
            return Ok(());
        }
        match directory.child(name) {
            Some(Node::Current(secret)) => self.unlink_current(&secret, caller),
            Some(Node::Version(secret, _) | Node::Properties(secret)) => {
                if self.work.desk(&secret, |desk| desk.is_unlinked()) {
                    return Ok(()); // `rm -r` takes everything, and the directory last
                }
                Err(FsError::NotPermitted(
                    "Key Vault cannot delete one version: disable it with setfattr -n user.akv.enabled -v false, or delete \
                     the secret with rm -r"
                        .into(),
                ))
            }
            Some(Node::DeletedProperties(secret)) => {
                self.may_purge(caller)?;
                self.work.settling.check(&secret)?;
                self.work.deleted.empty(&secret);
                Ok(())
            }
            Some(Node::Value(_)) => {
                Err(FsError::NotPermitted("values/ is for reading: delete a secret with rm -r secrets/NAME".into()))
            }
            Some(Node::Backup(_)) => {
                Err(FsError::NotPermitted("a backup is made when it is read: there is nothing to remove".into()))
            }
            Some(_) => Err(FsError::IsADirectory),
            None => Err(FsError::NotFound),
        }
    }

    /// Removes a directory (RMDIR): the end of an unlinked secret, of a new one without a value, or, for
    /// good, of a deleted one.
    pub fn rmdir(self: &Arc<Self>, parent: u64, name: &OsStr, caller: &Caller) -> Answer<()> {
        if let Err(error) = self.writable() {
            return Answer::refused(error);
        }
        let child = self.parent(parent).ok().and_then(|directory| directory.child(name));
        let (fs, caller) = (Arc::clone(self), *caller);
        match child {
            Some(Node::Secret(secret)) => self.rmdir_secret(secret, caller),
            Some(Node::DeletedSecret(secret)) => {
                if let Err(error) = self.may_purge(&caller) {
                    return Answer::refused(error);
                }
                if !self.work.deleted.is_emptied(&secret) {
                    return Answer::refused(FsError::NotEmpty("to purge a deleted secret: rm -r deleted/NAME".into()));
                }
                self.change(async move { fs.purge(&secret).await.map(Done::from) })
            }
            Some(Node::Secrets | Node::Values | Node::Deleted | Node::Backups) => {
                Answer::refused(FsError::NotPermitted("the mount's own directories stay".into()))
            }
            Some(_) | None => Answer::refused(FsError::NotFound),
        }
    }

    fn rmdir_secret(self: &Arc<Self>, secret: SecretName, caller: Caller) -> Answer<()> {
        let fs = Arc::clone(self);
        let (is_pending, is_unlinked, has_scratch) =
            self.work.desk(&secret, |desk| (desk.pending.is_some(), desk.is_unlinked(), !desk.scratch.is_empty()));
        if has_scratch || !is_pending && !is_unlinked {
            return Answer::refused(FsError::NotEmpty("to delete a secret with all its versions: rm -r NAME".into()));
        }
        if is_pending {
            self.work.desks.lock().remove(&secret);
            return Answer::Now(Ok(()));
        }
        self.change(async move {
            fs.delete(&secret, caller.process).await?;
            Ok(fs.agreed((), &secret))
        })
    }

    /// A scratch file by its number: under a name, or in whoever still has it open without one.
    pub(super) fn scratch_file(&self, secret: &SecretName, number: FileNumber) -> Result<Arc<ScratchFile>, FsError> {
        let named = self.work.desk(secret, |desk| desk.scratch_file(number));
        let open = || {
            self.work.writers.0.find(|writer| match &writer.target {
                Target::Scratch(_, file) if file.number == number => Some(Arc::clone(file)),
                Target::Current(..) | Target::Scratch(..) | Target::Restore(_) => None,
            })
        };
        named.or_else(open).ok_or(FsError::NotFound)
    }

    pub(super) fn writable(&self) -> Result<(), FsError> {
        if self.settings.writing.writable { Ok(()) } else { Err(FsError::ReadOnly) }
    }

    /// What no vault has: links and special files (LINK, SYMLINK, MKNOD).
    pub fn no_such_kind(&self) -> FsError {
        match self.writable() {
            Ok(()) => FsError::NotPermitted("a vault holds no links and no special files".into()),
            Err(error) => error,
        }
    }
}
