//! How a draft becomes a version: one get, and at most one set.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;

use super::answer::{Answer, Done};
use super::draft::{Base, Draft};
use super::encoding::{self, Encoding};
use super::scratch::ScratchFile;
use super::{Fs, FsError};
use crate::tree::Node;
use crate::vault::{
    Changes, Item, NewSecret, Properties, Secret, SecretBytes, SecretName, Vault, VaultError, VaultErrorKind, VersionId,
};

/// The newest version, as the vault has it at this moment.
enum Newest {
    /// There is no such secret.
    None,
    Whole(Arc<Secret>),
    /// Its value is refused, but not its properties.
    WithoutValue(Box<Item>),
}

impl Newest {
    fn properties(&self) -> Option<&Properties> {
        match self {
            Newest::None => None,
            Newest::Whole(secret) => Some(&secret.properties),
            Newest::WithoutValue(item) => Some(&item.properties),
        }
    }

    fn version(&self) -> Option<VersionId> {
        match self {
            Newest::None | Newest::WithoutValue(_) => None,
            Newest::Whole(secret) => Some(secret.version),
        }
    }
}

impl<V: Vault> Fs<V> {
    /// Runs a change to its end: neither a signal to the caller nor the caller's end cuts it off, only the
    /// deadline, after which nobody knows what has become of it.
    pub(super) fn change<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<Done<T>, FsError>> + Send + 'static,
    ) -> Answer<T> {
        let flying = self.work.in_flight.one();
        let writing = &self.settings.writing;
        // A set that first has to wait for a recovery takes as long as that.
        let limit =
            self.settings.deadline + if writing.recover_deleted { writing.settle_timeout } else { Duration::ZERO };
        let task = tokio::spawn(async move {
            let _flying = flying;
            timeout(limit, work).await.unwrap_or(Err(FsError::TimedOut))
        });
        Answer::Change(Box::pin(async move { task.await.unwrap_or(Err(FsError::Broken)) }))
    }

    /// A call that goes on to its answer even when nobody waits for it any more, so that what is
    /// remembered of the vault stays true.
    pub(super) async fn on_the_wire<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, VaultError>> + Send + 'static,
    ) -> Result<T, VaultError> {
        tokio::spawn(call).await.unwrap_or_else(|_| Err(VaultError::of(VaultErrorKind::Aborted)))
    }

    /// Makes a version of what has been written.
    pub(super) async fn commit_draft(
        self: &Arc<Self>,
        name: &SecretName,
        draft: &Mutex<Draft>,
    ) -> Result<Arc<Secret>, FsError> {
        let lock = self.work.locks.of(name);
        let _one_at_a_time = lock.lock().await;
        let copy = draft.lock().copy()?;
        let version = self.commit(name, &copy.bytes, copy.base).await?;
        draft.lock().saved(&copy, version.version);
        Ok(version)
    }

    /// Makes a version of a scratch file that is `current` now.
    pub(super) async fn commit_scratch(self: &Arc<Self>, name: &SecretName, file: &ScratchFile) -> Result<(), FsError> {
        let lock = self.work.locks.of(name);
        let _one_at_a_time = lock.lock().await;
        let bytes = {
            let mut content = file.content.lock();
            content.unsaved = false;
            content.bytes.to_bytes()
        };
        let committed = self.commit(name, &bytes, Base::Nothing).await;
        if committed.is_err() {
            file.content.lock().unsaved = true;
        }
        committed.map(drop)
    }

    async fn commit(
        self: &Arc<Self>,
        name: &SecretName,
        bytes: &SecretBytes,
        base: Base,
    ) -> Result<Arc<Secret>, FsError> {
        self.settled_for_writing(name).await?;
        let (spelled, joined, is_pending) = self.work.desk(name, |desk| {
            let spelled = desk.pending.as_ref().map_or_else(|| name.clone(), |pending| pending.name.clone());
            (spelled, desk.joined.clone(), desk.pending.is_some())
        });
        let newest = self.newest(name).await?;
        if matches!(newest, Newest::None) && !is_pending {
            return Err(FsError::Stale("the secret has been deleted since it was opened".into()));
        }
        if let Base::Version(version) = base
            && newest.version() != Some(version)
        {
            return Err(FsError::Stale(
                "somebody has made a newer version since this one was opened: read it, and write again".into(),
            ));
        }
        let bytes = self.without_newline(bytes);
        let tags = joined.tags.clone().or_else(|| newest.properties().and_then(|properties| properties.tags.clone()));
        let (text, tags) = self.encoded(bytes, tags)?;
        let committed = match &newest {
            Newest::Whole(secret) if same(secret, bytes, &text) => self.adopt(secret, &joined).await?,
            Newest::Whole(_) | Newest::WithoutValue(_) if base == Base::New => {
                self.made_elsewhere(name);
                return Err(FsError::Stale("somebody has made this secret meanwhile: read it, and write again".into()));
            }
            Newest::None | Newest::Whole(_) | Newest::WithoutValue(_) => {
                let content_type = newest.properties().and_then(|properties| properties.content_type.as_deref());
                let new = NewSecret {
                    value: text,
                    content_type: joined.content_type.clone().or_else(|| content_type.map(str::to_owned)),
                    tags,
                    enabled: joined.enabled,
                    not_before: joined.not_before,
                    expires_on: joined.expires_on,
                };
                self.put(&spelled, newest.version(), new).await?
            }
        };
        self.is_written_now(name);
        Ok(committed)
    }

    /// The vault has the value: nothing of it is under way here any more.
    pub(super) fn is_written_now(&self, name: &SecretName) {
        self.work.desk(name, |desk| {
            desk.pending = None;
            desk.hidden = None;
            desk.joined = Changes::default();
        });
        self.work.refusals.forget(&Node::Current(name.clone()));
        self.work.blobs.forget(name);
    }

    /// A secret that is being deleted or recovered takes no write; `--on-deleted recover` waits for it.
    async fn settled_for_writing(&self, name: &SecretName) -> Result<(), FsError> {
        if self.waits_for_recovery(name) {
            return self.work.settling.wait(name, self.settings.writing.settle_timeout).await;
        }
        self.work.settling.check(name)
    }

    pub(super) fn waits_for_recovery(&self, name: &SecretName) -> bool {
        self.settings.writing.recover_deleted && self.work.settling.is_recovering(name)
    }

    async fn newest(&self, name: &SecretName) -> Result<Newest, FsError> {
        match self.vault.get_now(name, None).await {
            Ok(Some(secret)) => Ok(Newest::Whole(secret)),
            Ok(None) => Ok(Newest::None),
            // Who may not read, and who meets a disabled version, can still write: the listing tells what
            // is to carry over.
            Err(error) if error.kind == VaultErrorKind::Disabled || is_permission(&error) => {
                match self.describe(name, None).await? {
                    Some(super::facts::Description::WithoutValue(item)) => Ok(Newest::WithoutValue(item)),
                    Some(super::facts::Description::Whole(secret)) => Ok(Newest::Whole(secret)),
                    None => Ok(Newest::None),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn without_newline<'a>(&self, bytes: &'a SecretBytes) -> &'a [u8] {
        let bytes = bytes.expose();
        match bytes.strip_suffix(b"\n") {
            Some(stripped) if self.settings.writing.strip_newline => stripped.strip_suffix(b"\r").unwrap_or(stripped),
            _ => bytes,
        }
    }

    /// The text to store, and the tags that say how to read it.
    fn encoded(&self, bytes: &[u8], tags: Option<Tags>) -> Result<(SecretBytes, Option<Tags>), FsError> {
        let encoding = Encoding::of(tags.as_ref());
        match encoding.encode(bytes) {
            Err(FsError::NotText) if self.settings.writing.binary => {
                let mut tags = tags.unwrap_or_default();
                tags.insert(encoding::TAG.to_owned(), "base64".to_owned());
                Ok((Encoding::Base64.encode(bytes)?, Some(tags)))
            }
            encoded => Ok((encoded?, tags)),
        }
    }

    /// The bytes are in the vault already: no version, but what was to go with it is set all the same.
    async fn adopt(self: &Arc<Self>, secret: &Arc<Secret>, joined: &Changes) -> Result<Arc<Secret>, FsError> {
        if *joined != Changes::default() {
            let (fs, name, changes) = (Arc::clone(self), secret.name.clone(), joined.clone());
            let version = Some(secret.version);
            let updated = self.on_the_wire(async move { fs.vault.update(&name, version, changes).await });
            updated.await?.ok_or(FsError::NotFound)?;
        }
        Ok(Arc::clone(secret))
    }

    /// One set. Where it failed in a way that tells nothing of what became of it, the newest version does.
    async fn put(
        self: &Arc<Self>,
        name: &SecretName,
        before: Option<VersionId>,
        new: NewSecret,
    ) -> Result<Arc<Secret>, FsError> {
        let value = SecretBytes::new(new.value.expose().to_vec());
        let error = match self.set(name, new).await {
            Ok(secret) => return Ok(secret),
            Err(error) if !is_lost(&error) => return Err(set_error(error)),
            Err(error) => error,
        };
        match self.vault.get_now(name, None).await {
            Ok(Some(found)) if Some(found.version) != before && found.value.expose() == value.expose() => Ok(found),
            Ok(_) | Err(_) => Err(error.into()),
        }
    }

    async fn set(self: &Arc<Self>, name: &SecretName, new: NewSecret) -> Result<Arc<Secret>, VaultError> {
        let (fs, name) = (Arc::clone(self), name.clone());
        let call = async move {
            let set = fs.vault.set(&name, new).await;
            if set.is_ok() {
                fs.is_written_now(&name); // here, since past the deadline nobody waits for this
            }
            set
        };
        self.on_the_wire(call).await
    }
}

type Tags = std::collections::BTreeMap<String, String>;

/// Whether a version holds these bytes already, as it shows them or as it stores them.
fn same(secret: &Secret, bytes: &[u8], text: &SecretBytes) -> bool {
    secret.value.expose() == text.expose() || encoding::decoded(secret).is_some_and(|decoded| decoded.expose() == bytes)
}

/// Whether a call may have been carried out although it failed.
pub(super) fn is_lost(error: &VaultError) -> bool {
    match error.kind {
        VaultErrorKind::Server(_)
        | VaultErrorKind::Unreachable(_)
        | VaultErrorKind::TimedOut
        | VaultErrorKind::NotKeyVault(_)
        | VaultErrorKind::Aborted => true,
        VaultErrorKind::Disabled
        | VaultErrorKind::Denied(_)
        | VaultErrorKind::Unauthenticated(_)
        | VaultErrorKind::NoToken(_)
        | VaultErrorKind::Throttled(_)
        | VaultErrorKind::Conflict
        | VaultErrorKind::SoftDeleted
        | VaultErrorKind::Taken
        | VaultErrorKind::Invalid(_)
        | VaultErrorKind::Rejected(_) => false,
    }
}

fn is_permission(error: &VaultError) -> bool {
    matches!(error.kind, VaultErrorKind::Denied(denial) if denial.is_permission())
}

fn set_error(error: VaultError) -> FsError {
    if error.kind == VaultErrorKind::SoftDeleted {
        return FsError::Exists(
            "a soft-deleted secret still has this name: recover it with `mv deleted/NAME secrets/`, or mount with \
             --on-deleted recover"
                .into(),
        );
    }
    error.into()
}
