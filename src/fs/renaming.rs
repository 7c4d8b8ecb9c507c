//! Renaming: scratch files as one likes, onto `current` as a write, secrets to and from the deleted ones.

use std::ffi::OsStr;
use std::sync::Arc;

use super::answer::{Answer, Done};
use super::caller::Caller;
use super::desk::Hidden;
use super::scratch::ScratchFile;
use super::{Fs, FsError, encoding};
use crate::sys::SecretBytes;
use crate::tree::Node;
use crate::vault::{SecretName, Vault};

impl<V: Vault> Fs<V> {
    /// Renames (RENAME): scratch files as one likes, onto `current` as a write, and a secret's directory
    /// between `secrets/` and `deleted/`.
    pub fn rename(
        self: &Arc<Self>,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        no_replace: bool,
        caller: &Caller,
    ) -> Answer<()> {
        if let Err(error) = self.writable() {
            return Answer::refused(error);
        }
        let (Ok(from_directory), Ok(to_directory)) = (self.parent(from.0), self.parent(to.0)) else {
            return Answer::refused(FsError::NotFound);
        };
        match (&from_directory, &to_directory) {
            (Node::Secret(secret), Node::Secret(other)) if secret == other => {
                self.rename_in_secret(secret, from.1, to.1, no_replace, *caller)
            }
            (Node::Secrets, Node::Deleted) | (Node::Deleted, Node::Secrets) => {
                let (Some(source), Some(target)) = (from_directory.child(from.1), to_directory.child(to.1)) else {
                    return Answer::refused(FsError::NotFound);
                };
                if source.secret() != target.secret() {
                    return Answer::refused(other_name());
                }
                self.move_secret(source, *caller)
            }
            _ => Answer::refused(other_name()),
        }
    }

    fn move_secret(self: &Arc<Self>, source: Node, caller: Caller) -> Answer<()> {
        let fs = Arc::clone(self);
        self.change(async move {
            match source {
                Node::Secret(secret) => {
                    fs.work.settling.check(&secret)?;
                    if fs.work.desk(&secret, |desk| desk.pending.is_some()) {
                        return Err(FsError::NotPermitted(
                            "this secret has no value yet, so there is nothing to delete: rmdir it".into(),
                        ));
                    }
                    fs.delete(&secret, caller.process).await?;
                    Ok(fs.agreed((), &secret))
                }
                Node::DeletedSecret(secret) => {
                    fs.recover(&secret).await?;
                    Ok(fs.agreed((), &secret))
                }
                _ => Err(other_name()),
            }
        })
    }

    fn rename_in_secret(
        self: &Arc<Self>,
        secret: &SecretName,
        from: &OsStr,
        to: &OsStr,
        no_replace: bool,
        caller: Caller,
    ) -> Answer<()> {
        let is_current = |name: &OsStr| name == "current";
        let Some(from_text) = from.to_str() else { return Answer::refused(FsError::NotFound) };
        let scratch = self.work.desk(secret, |desk| desk.scratch.get(from_text).cloned());
        match scratch {
            Some(file) if is_current(to) => {
                if no_replace && self.work.desk(secret, |desk| desk.shows_current()) {
                    return Answer::refused(FsError::Exists("the secret has a value".into()));
                }
                self.place(secret.clone(), from_text.to_owned(), file, caller)
            }
            Some(file) => Answer::Now(self.scratch_name(to).and_then(|to| {
                self.work.desk(secret, |desk| {
                    if no_replace && desk.scratch.contains_key(to) {
                        return Err(FsError::Exists("a scratch file of this name is there".into()));
                    }
                    desk.scratch.remove(from_text);
                    desk.scratch.insert(to.to_owned(), file);
                    Ok(())
                })
            })),
            None if is_current(from) => match self.scratch_name(to) {
                Ok(to) => self.set_aside(secret.clone(), to.to_owned(), caller),
                Err(error) => Answer::refused(error),
            },
            None if Node::Secret(secret.clone()).child(from).is_some() => Answer::refused(other_name()),
            None => Answer::refused(FsError::NotFound),
        }
    }

    /// A scratch file becomes `current`: one set, if anybody has written to it.
    fn place(self: &Arc<Self>, secret: SecretName, name: String, file: Arc<ScratchFile>, caller: Caller) -> Answer<()> {
        if let Err(error) = self.work.settling.check(&secret) {
            return Answer::refused(error);
        }
        let fs = Arc::clone(self);
        let has_bytes = file.content.lock().written;
        self.change(async move {
            if has_bytes {
                fs.commit_scratch(&secret, &file).await?;
            }
            file.content.lock().placed = true;
            fs.work.desk(&secret, |desk| {
                desk.scratch.remove(&name);
                desk.hidden = None;
                desk.signed_by(caller.process);
            });
            Ok(Done::from(()))
        })
    }

    /// `current` is renamed to a scratch name: nothing is sent, and it is away until it is made again.
    fn set_aside(self: &Arc<Self>, secret: SecretName, to: String, caller: Caller) -> Answer<()> {
        if let Err(error) = self.work.settling.check(&secret) {
            return Answer::refused(error);
        }
        let fs = Arc::clone(self);
        Answer::of(async move {
            let newest = fs.vault.get(&secret, None).await?.ok_or(FsError::NotFound)?;
            let bytes = encoding::decoded(&newest);
            let bytes: &SecretBytes = bytes.as_deref().unwrap_or(&newest.value);
            let mode = fs.settings.ownership.file_mode | 0o200;
            let file = ScratchFile::new(fs.work.number(), mode, &caller, newest.properties.created_on);
            file.content.lock().write(0, bytes.expose(), false, newest.properties.created_on)?;
            fs.work.desk(&secret, |desk| {
                if !desk.shows_current() {
                    return Err(FsError::NotFound);
                }
                desk.scratch.insert(to, Arc::new(file));
                desk.hidden = Some(Hidden::Renamed(tokio::time::Instant::now()));
                Ok(())
            })?;
            fs.keep_house();
            Ok(())
        })
    }
}

fn other_name() -> FsError {
    FsError::NotPermitted(
        "Key Vault cannot rename: copy the value to a new secret (mkdir secrets/NEW; cp secrets/OLD/current secrets/NEW/), \
         then delete the old one; between secrets/ and deleted/ a secret keeps its name"
            .into(),
    )
}
