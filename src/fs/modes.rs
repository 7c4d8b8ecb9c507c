//! chmod, chown, utimens and truncate (SETATTR): what scratch files take, and what is accepted without
//! effect because programs end with it.

use std::sync::Arc;

use super::answer::{Answer, Done};
use super::caller::Caller;
use super::desk;
use super::{Fs, FsError, Shown};
use crate::tree::Node;
use crate::vault::{SecretName, Vault};

/// What is to be set; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Unix seconds.
    pub modified: Option<i64>,
    /// The open file that it is set through.
    pub handle: Option<u64>,
}

impl<V: Vault> Fs<V> {
    /// Sets attributes, and gives all as they are then (SETATTR).
    pub fn set_attributes(self: &Arc<Self>, inode: u64, new: NewAttributes, caller: &Caller) -> Answer<Shown> {
        let Some(node) = self.node(inode) else { return Answer::refused(FsError::NotFound) };
        if let Err(error) = self.writable().and_then(|()| self.set_modes(&node, &new, caller)) {
            return Answer::refused(error);
        }
        let resized = match (new.size, new.handle) {
            (None, _) => return self.stat(inode, || *caller),
            (Some(size), Some(handle)) if desk::is_writer(handle) => self.resize(handle, size, false),
            (Some(size), _) => self.truncate(&node, size),
        };
        let (fs, caller) = (Arc::clone(self), *caller);
        match resized {
            Answer::Now(Ok(())) => self.stat(inode, || caller),
            Answer::Now(Err(error)) => Answer::refused(error),
            Answer::Later(work) | Answer::Settling(work) => Answer::Later(Box::pin(async move {
                work.await?;
                fs.stat_now(inode, &caller).await
            })),
            Answer::Change(work) => Answer::Change(Box::pin(async move {
                work.await?;
                fs.stat_now(inode, &caller).await.map(Done::from)
            })),
        }
    }

    async fn stat_now(self: &Arc<Self>, inode: u64, caller: &Caller) -> Result<Shown, FsError> {
        match self.stat(inode, || *caller) {
            Answer::Now(result) => result,
            Answer::Later(work) | Answer::Settling(work) => work.await,
            Answer::Change(work) => work.await.map(|done| done.value),
        }
    }

    fn set_modes(&self, node: &Node, new: &NewAttributes, caller: &Caller) -> Result<(), FsError> {
        match node {
            Node::Scratch(secret, number) => {
                let file = self.scratch_file(secret, *number)?;
                let mut content = file.content.lock();
                if let Some(mode) = new.mode {
                    content.mode = u16::try_from(mode & 0o777).unwrap_or(content.mode);
                }
                content.uid = new.uid.unwrap_or(content.uid);
                content.gid = new.gid.unwrap_or(content.gid);
                content.modified = new.modified.unwrap_or(content.modified);
                Ok(())
            }
            Node::Restoring(_) => Ok(()), // `cp -p` and `mv` end with these
            Node::Current(secret) => {
                self.same_owner(new)?;
                if new.mode.is_some() && !self.has_written(secret, caller) {
                    return Err(modes_are_the_mounts());
                }
                Ok(())
            }
            Node::Secret(secret) => {
                self.same_owner(new)?;
                let has_made = self.work.desk(secret, |desk| desk.is_author(caller.process));
                if (new.mode.is_some() || new.modified.is_some()) && !has_made {
                    return Err(modes_are_the_mounts());
                }
                Ok(())
            }
            Node::Root | Node::Secrets | Node::Values | Node::Version(..) | Node::Properties(_) | Node::Value(_) => {
                self.nothing_but_size(new)
            }
            Node::Deleted | Node::DeletedSecret(_) | Node::DeletedProperties(_) | Node::Backups | Node::Backup(_) => {
                self.nothing_but_size(new)
            }
        }
    }

    /// A program that has just written the file, or has it open for that, ends with chmod.
    fn has_written(&self, secret: &SecretName, caller: &Caller) -> bool {
        self.work.desk(secret, |desk| {
            desk.is_author(caller.process) || desk.writers.iter().any(|writer| writer.opener == caller.process)
        })
    }

    fn nothing_but_size(&self, new: &NewAttributes) -> Result<(), FsError> {
        self.same_owner(new)?;
        if new.mode.is_some() || new.modified.is_some() { Err(modes_are_the_mounts()) } else { Ok(()) }
    }

    fn same_owner(&self, new: &NewAttributes) -> Result<(), FsError> {
        let ownership = &self.settings.ownership;
        let same = new.uid.is_none_or(|uid| uid == ownership.uid) && new.gid.is_none_or(|gid| gid == ownership.gid);
        if same { Ok(()) } else { Err(modes_are_the_mounts()) }
    }

    fn truncate(self: &Arc<Self>, node: &Node, size: u64) -> Answer<()> {
        match node {
            Node::Current(secret) => self.truncate_current(secret.clone(), size),
            Node::Scratch(secret, number) => {
                let file = self.scratch_file(secret, *number);
                Answer::Now(file.and_then(|file| file.content.lock().resize(size, super::now_unix())))
            }
            _ => Answer::refused(FsError::NotPermitted("only `current` can be cut to a length".into())),
        }
    }
}

fn modes_are_the_mounts() -> FsError {
    FsError::NotPermitted(
        "owner, modes and times are the mount's and the vault's: mount with --uid, --gid, --file-mode, --dir-mode"
            .into(),
    )
}
