//! Files that are open for writing: each has a buffer of its own, and a moment at which it counts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{Answer, Done};
use super::backups::RestoreFile;
use super::caller::{Caller, Process};
use super::draft::Draft;
use super::scratch::ScratchFile;
use super::{Fs, FsError, encoding, now_unix};
use crate::tree::Node;
use crate::vault::{SecretName, Vault};

/// A look at a process's descriptors takes no longer, or is not worth waiting for.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// A file that was opened through the writing side.
pub(super) struct Writer {
    pub(super) target: Target,
    /// Whose closing of it counts: shells and children hand descriptors on, and close them too.
    pub(super) opener: Process,
    /// Whether the last one to close it was being killed.
    left_by_killed: Mutex<bool>,
}

/// What is written.
pub(super) enum Target {
    /// `secrets/NAME/current`.
    Current(SecretName, Mutex<Draft>),
    /// A scratch file of a secret's.
    Scratch(SecretName, Arc<ScratchFile>),
    /// A backup that is to be restored.
    Restore(Arc<RestoreFile>),
}

impl Writer {
    pub(super) fn new(target: Target, opener: Process) -> Writer {
        Writer { target, opener, left_by_killed: Mutex::new(false) }
    }

    pub(super) fn is_unsaved(&self) -> bool {
        match &self.target {
            Target::Current(_, draft) => draft.lock().is_unsaved(),
            Target::Scratch(..) | Target::Restore(_) => false,
        }
    }

    /// Bytes of what has been written so far; `None` if that is the vault's to say.
    pub(super) fn size(&self) -> Option<u64> {
        match &self.target {
            Target::Current(_, draft) => {
                let draft = draft.lock();
                (!draft.is_unread() && !draft.is_saved()).then(|| draft.len())
            }
            Target::Scratch(_, file) => Some(file.content.lock().bytes.len() as u64),
            Target::Restore(file) => Some(file.len()),
        }
    }
}

impl<V: Vault> Fs<V> {
    /// Whether an open of this inode goes through the writing side.
    pub fn is_written(&self, inode: u64, flags: i32) -> bool {
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
        let ours_alone = matches!(self.node(inode), Some(Node::Scratch(..) | Node::Restoring(_)));
        ours_alone || writes && self.settings.writing.writable
    }

    /// Opens a file for writing, or a scratch file for whatever (OPEN), and gives the handle's number.
    ///
    /// # Errors
    /// A place that takes no writing, with what to do instead.
    pub fn open_to_write(self: &Arc<Self>, inode: u64, flags: i32, caller: &Caller) -> Result<u64, FsError> {
        let truncated = flags & libc::O_TRUNC != 0;
        match self.node(inode).ok_or(FsError::NotFound)? {
            Node::Current(name) => {
                if truncated {
                    self.inodes.lock().tell(inode, 0); // the kernel has cut it as well
                }
                self.open_current(&name, truncated, caller)
            }
            Node::Scratch(name, number) => {
                let file = self.scratch_file(&name, number)?;
                self.open_scratch(&name, file, truncated, caller)
            }
            Node::Backup(name) => Ok(self.open_restore(name.as_str(), caller).1),
            Node::Restoring(number) => self.reopen_restore(number, caller),
            Node::Version(..) => Err(FsError::NotPermitted(
                "a version never changes: write `current` beside it, which makes a new one".into(),
            )),
            Node::Value(_) => Err(FsError::NotPermitted(
                "values/ is for reading: write secrets/NAME/current, which makes a new version".into(),
            )),
            Node::Properties(_) | Node::DeletedProperties(_) => Err(FsError::NotPermitted(
                "properties are set as extended attributes: setfattr -n user.akv.NAME -v VALUE".into(),
            )),
            Node::Root | Node::Secrets | Node::Values | Node::Secret(_) => Err(FsError::IsADirectory),
            Node::Deleted | Node::DeletedSecret(_) | Node::Backups => Err(FsError::IsADirectory),
        }
    }

    pub(super) fn open_current(
        self: &Arc<Self>,
        name: &SecretName,
        truncated: bool,
        caller: &Caller,
    ) -> Result<u64, FsError> {
        if !self.waits_for_recovery(name) {
            self.work.settling.check(name)?;
        }
        let (is_new, is_away) = self.work.desk(name, |desk| (desk.pending.is_some(), desk.hidden.is_some()));
        let draft = match (truncated || is_away, is_new) {
            (true, _) => Draft::empty(),
            (false, true) => Draft::new_secret(),
            (false, false) => Draft::default(),
        };
        let target = Target::Current(name.clone(), Mutex::new(draft));
        let (handle, writer) = self.work.writers.0.open_shared(Writer::new(target, caller.process));
        self.work.desk(name, |desk| {
            desk.hidden = None; // being written again calls a deletion off
            desk.signed_by(caller.process);
            desk.writers.push(writer);
        });
        self.keep_house();
        Ok(handle)
    }

    pub(super) fn open_scratch(
        &self,
        name: &SecretName,
        file: Arc<ScratchFile>,
        truncated: bool,
        caller: &Caller,
    ) -> Result<u64, FsError> {
        {
            let mut content = file.content.lock();
            content.open += 1;
            if truncated && !content.bytes.is_empty() {
                content.resize(0, now_unix())?;
            }
        }
        Ok(self.work.writers.0.open(Writer::new(Target::Scratch(name.clone(), file), caller.process)))
    }

    fn writer(&self, handle: u64) -> Result<Arc<Writer>, FsError> {
        self.work.writers.0.get(handle).ok_or(FsError::BadHandle)
    }

    /// Reads from what is being written (READ): at most `size` bytes from the offset on.
    pub fn read_written(self: &Arc<Self>, handle: u64, offset: u64, size: u32) -> Answer<Zeroizing<Vec<u8>>> {
        let fs = Arc::clone(self);
        Answer::of(async move {
            let writer = fs.writer(handle)?;
            let range = |bytes: &[u8]| {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                Zeroizing::new(rest.get(..size as usize).unwrap_or(rest).to_vec())
            };
            match &writer.target {
                Target::Current(name, draft) => {
                    fs.start(name, draft).await?;
                    Ok(range(draft.lock().expose()))
                }
                Target::Scratch(_, file) => Ok(range(file.content.lock().bytes.expose())),
                Target::Restore(file) => Ok(file.range(range)),
            }
        })
    }

    /// Writes into the buffer (WRITE); at its end whatever the offset, if it is to append.
    pub fn write(self: &Arc<Self>, handle: u64, offset: u64, bytes: &[u8], append: bool) -> Answer<u32> {
        let fs = Arc::clone(self);
        let bytes = Zeroizing::new(bytes.to_vec());
        Answer::of(async move {
            let writer = fs.writer(handle)?;
            match &writer.target {
                Target::Current(name, draft) => {
                    fs.start(name, draft).await?;
                    draft.lock().write(offset, &bytes, append)?;
                    fs.size_grew(&Node::Current(name.clone()), offset.saturating_add(bytes.len() as u64));
                }
                Target::Scratch(_, file) => file.content.lock().write(offset, &bytes, append, now_unix())?,
                Target::Restore(file) => file.write(offset, &bytes, append)?,
            }
            Ok(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
        })
    }

    /// Cuts an open file to a size, or makes it longer (ftruncate(2), fallocate(2) with `only_grow`).
    pub fn resize(self: &Arc<Self>, handle: u64, size: u64, only_grow: bool) -> Answer<()> {
        let fs = Arc::clone(self);
        Answer::of(async move {
            let writer = fs.writer(handle)?;
            match &writer.target {
                Target::Current(name, draft) => {
                    if size > 0 {
                        fs.start(name, draft).await?;
                    }
                    let mut draft = draft.lock();
                    if !only_grow || draft.len() < size { draft.resize(size) } else { Ok(()) }
                }
                Target::Scratch(_, file) => {
                    let mut content = file.content.lock();
                    let grows = (content.bytes.len() as u64) < size;
                    if !only_grow || grows { content.resize(size, now_unix()) } else { Ok(()) }
                }
                Target::Restore(file) => file.resize(size, only_grow),
            }
        })
    }

    /// A file of this name is cut to a size without having been opened (truncate(2)): a commit of its own.
    pub(super) fn truncate_current(self: &Arc<Self>, name: SecretName, size: u64) -> Answer<()> {
        let fs = Arc::clone(self);
        self.change(async move {
            let draft = Mutex::new(if size == 0 { Draft::empty() } else { Draft::default() });
            fs.start(&name, &draft).await?;
            draft.lock().resize(size)?;
            fs.commit_draft(&name, &draft).await?;
            Ok(Done::from(()))
        })
    }

    /// Fills a draft that is to be changed in part with the newest version, as the vault has it now.
    async fn start(&self, name: &SecretName, draft: &Mutex<Draft>) -> Result<(), FsError> {
        if !draft.lock().is_unread() {
            return Ok(());
        }
        let newest = self.vault.get_now(name, None).await?.ok_or(FsError::NotFound)?;
        let decoded = encoding::decoded(&newest);
        let bytes = decoded.as_deref().unwrap_or(&newest.value).expose();
        draft.lock().start_from(Some(newest.version), bytes)
    }

    /// A process has closed one of its descriptors of the file (FLUSH). If it is the one that opened the
    /// file, holds no other descriptor of it, and is not being killed, what has been written counts. `held`
    /// tells how many the process still has that write to the file; it may block.
    pub fn flush(
        self: &Arc<Self>,
        handle: u64,
        caller: &Caller,
        held: impl FnOnce() -> usize + Send + 'static,
    ) -> Answer<()> {
        let writer = match self.writer(handle) {
            Ok(writer) => writer,
            Err(error) => return Answer::refused(error),
        };
        *writer.left_by_killed.lock() = caller.killed;
        if caller.process != writer.opener {
            return Answer::Now(Ok(()));
        }
        if caller.killed {
            writer.abandon();
            return Answer::Now(Ok(()));
        }
        if !writer.has_something_to_save() {
            return Answer::Now(Ok(()));
        }
        let fs = Arc::clone(self);
        self.change(async move {
            // Shells move descriptors about: a redirection of a builtin closes one and has another.
            let held = timeout(LOOK_FOR, tokio::task::spawn_blocking(held)).await;
            if held.is_ok_and(|held| held.unwrap_or(0) > fs.other_handles(&writer)) {
                return Ok(Done::from(()));
            }
            fs.save_now(&writer).await.map(Done::from)
        })
    }

    /// How many other handles of the same file the process has open that opened this one.
    fn other_handles(&self, writer: &Arc<Writer>) -> usize {
        let Target::Current(name, _) = &writer.target else { return 0 };
        let is_other = |open: &&Arc<Writer>| open.opener == writer.opener && !Arc::ptr_eq(open, writer);
        self.work.desk(name, |desk| desk.writers.iter().filter(is_other).count())
    }

    /// What has been written counts now, whoever asks (FSYNC).
    pub fn fsync(self: &Arc<Self>, handle: u64) -> Answer<()> {
        match self.writer(handle) {
            Ok(writer) => self.save(writer),
            Err(error) => Answer::refused(error),
        }
    }

    /// The last descriptor is closed (RELEASE): what is left counts, and nobody hears of an error but the
    /// log.
    pub fn release_written(self: &Arc<Self>, handle: u64) -> Answer<()> {
        let writer = match self.writer(handle) {
            Ok(writer) => writer,
            Err(error) => return Answer::refused(error),
        };
        self.work.writers.0.close(handle);
        let fs = Arc::clone(self);
        let last = Arc::clone(&writer);
        let over = move || fs.closed(&last);
        if *writer.left_by_killed.lock() || !writer.is_untried() {
            over();
            return Answer::Now(Ok(()));
        }
        match self.save(writer) {
            Answer::Change(work) => Answer::Change(Box::pin(async move {
                let result = work.await;
                over();
                result
            })),
            settled => {
                over();
                settled
            }
        }
    }

    fn closed(&self, writer: &Arc<Writer>) {
        match &writer.target {
            Target::Current(name, _) => self.work.desk(name, |desk| {
                desk.writers.retain(|open| !Arc::ptr_eq(open, writer));
            }),
            Target::Scratch(name, file) => {
                {
                    let mut content = file.content.lock();
                    content.open = content.open.saturating_sub(1);
                    content.idle_since = tokio::time::Instant::now();
                }
                self.work.desk(name, |_| ()); // it may be over
            }
            Target::Restore(file) => self.work.restores.closed(file),
        }
    }

    fn save(self: &Arc<Self>, writer: Arc<Writer>) -> Answer<()> {
        if !writer.has_something_to_save() {
            return Answer::Now(Ok(()));
        }
        let fs = Arc::clone(self);
        self.change(async move { fs.save_now(&writer).await.map(Done::from) })
    }

    async fn save_now(self: &Arc<Self>, writer: &Writer) -> Result<(), FsError> {
        match &writer.target {
            Target::Current(name, draft) => self.commit_draft(name, draft).await.map(drop),
            Target::Scratch(name, file) => self.commit_scratch(name, file).await,
            Target::Restore(file) => self.restore(file).await,
        }
    }
}

impl Writer {
    fn abandon(&self) {
        if let Target::Current(_, draft) = &self.target {
            draft.lock().abandon();
        }
        if let Target::Restore(file) = &self.target {
            file.abandon();
        }
    }

    fn has_something_to_save(&self) -> bool {
        match &self.target {
            Target::Current(_, draft) => draft.lock().is_unsaved(),
            Target::Scratch(_, file) => {
                let content = file.content.lock();
                content.placed && content.unsaved
            }
            Target::Restore(file) => file.is_untried(),
        }
    }

    fn is_untried(&self) -> bool {
        match &self.target {
            Target::Current(_, draft) => draft.lock().is_untried(),
            Target::Scratch(..) | Target::Restore(_) => self.has_something_to_save(),
        }
    }
}
