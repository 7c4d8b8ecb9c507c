//! The lasting store of a vault: one file, every record encrypted and in its place, one writer.
//! A change is acknowledged once it is on the disk; those that wait together share one commit. What is
//! read meanwhile waits as well, so that nobody is shown what a power failure could take back.
//! Knows no rule of the vault: it keeps what [`Change`]s tell it to.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::keys::MasterKey;
use super::model::{Secret, State};
use super::options::Options;
use super::record::{self, Head, Properties};
use super::rules::{Change, Vault};

/// Hash of the name; for a version followed by its identifier. A secret's versions thus stand
/// right behind it.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const FORMAT: &str = "format";
/// A known text under the store's key: tells a wrong key from a damaged record.
const CHECK: &str = "check";
/// What the vault has from when it was made.
const PROPERTIES: &str = "properties";
const FORMAT_KNOWN: u32 = 1;
const HASH: usize = 32;
/// Changes written in one commit at most.
const MOST_AT_ONCE: usize = 1024;
const CACHE_BYTES: usize = 16 << 20;

/// Why a store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the file system fails.
    #[error("store {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Another process has it open.
    #[error("store {0} is in use by another process; a vault has one writer at a time")]
    InUse(PathBuf),
    /// The master key is not the one it was made with.
    #[error("store {0} was made with another key")]
    WrongKey(PathBuf),
    /// A newer program wrote it.
    #[error("store {path} has format {found}; this program knows {FORMAT_KNOWN}: use a newer one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Another retention than the vault was made with.
    #[error(
        "store {path} keeps deleted secrets for {kept} days, which was fixed when it was made: ask for {kept} days, or \
         for none"
    )]
    Retention {
        /// The file.
        path: PathBuf,
        /// Its days.
        kept: u32,
    },
    /// It is damaged, or is no store at all.
    #[error("store {0} is damaged: {1}")]
    Corrupt(PathBuf, String),
}

/// The file of the store in a directory.
pub(super) fn file_in(directory: &Path) -> PathBuf {
    directory.join("vault.redb")
}

/// An open store. Dropping it writes what is under way and lets go of the file.
pub(super) struct Store {
    cipher: Cipher,
    queue: Option<mpsc::Sender<Batch>>,
    writer: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
}

/// How far the writer has come.
#[derive(Default)]
struct Progress {
    /// Batches not acknowledged yet.
    under_way: AtomicUsize,
    /// A commit has failed: the memory is ahead of the disk.
    failed: AtomicBool,
}

/// Called with whether the changes are on the disk; dropped where nobody can tell any more.
pub(super) type Acknowledge = Box<dyn FnOnce(bool) + Send>;

struct Batch {
    edits: Vec<Edit>,
    acknowledge: Acknowledge,
}

enum Edit {
    Put(Vec<u8>, Vec<u8>),
    /// Removes a secret's record with those of all versions.
    Remove([u8; HASH]),
}

impl Store {
    /// Opens the store in a directory, or makes both, and reads every secret. What the vault has from
    /// when it was made is put into `options`.
    pub(super) fn open(
        directory: &Path,
        key: &MasterKey,
        options: &mut Options,
    ) -> Result<(Store, Vec<Secret>), StoreError> {
        let path = file_in(directory);
        let cipher =
            Cipher::new(key).ok_or_else(|| StoreError::Corrupt(path.clone(), "the key cannot be used".into()))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| StoreError::Io(path.clone(), error))?;
        if !path.exists() {
            create(directory, &path, &cipher)?;
        }
        Store::open_over(open_file(&path)?, &path, cipher, options)
    }

    /// The same for a store that is there, in `backend`; errors call it `path`.
    fn open_over(
        backend: impl StorageBackend,
        path: &Path,
        cipher: Cipher,
        options: &mut Options,
    ) -> Result<(Store, Vec<Secret>), StoreError> {
        let database = open_database(backend, path)?;
        check(&database, &cipher, path)?;
        settle(&database, &cipher, options, path)?;
        let secrets = read_all(&database, &cipher).map_err(|error| error.at(path))?;
        let store = Store::over(database, cipher).map_err(|error| StoreError::Io(path.to_owned(), error))?;
        Ok((store, secrets))
    }

    fn over(database: Database, cipher: Cipher) -> io::Result<Store> {
        let (queue, batches) = mpsc::channel();
        let progress = Arc::new(Progress::default());
        let writer = std::thread::Builder::new().name("vault-store".to_owned()).spawn({
            let progress = progress.clone();
            move || write_all(&database, &batches, &progress)
        })?;
        Ok(Store { cipher, queue: Some(queue), writer: Some(writer), progress })
    }

    /// Whether a commit has failed, so that the disk is behind until a restart.
    pub(super) fn has_failed(&self) -> bool {
        self.progress.failed.load(Ordering::Acquire)
    }

    /// Whether all that was ever queued is on the disk. To be asked under the vault's lock.
    pub(super) fn is_level(&self) -> bool {
        self.progress.under_way.load(Ordering::Acquire) == 0 && !self.has_failed()
    }

    /// Queues what has changed in `vault`; nothing at all is acknowledged when everything before it
    /// is. Calls that hold the vault's lock are written in the order of the changes.
    pub(super) fn write(&self, vault: &Vault, changes: &[Change], acknowledge: Acknowledge) {
        let edits: Option<Vec<Edit>> = changes.iter().filter_map(|change| self.edit(vault, change)).collect();
        let (Some(edits), Some(queue)) = (edits, &self.queue) else { return acknowledge(false) };
        self.progress.under_way.fetch_add(1, Ordering::AcqRel);
        // The writer ends early only when the disk has failed.
        if let Err(mpsc::SendError(batch)) = queue.send(Batch { edits, acknowledge }) {
            (batch.acknowledge)(false);
        }
    }

    /// `None` where a later change has overtaken this one; `Some(None)` where encryption fails.
    fn edit(&self, vault: &Vault, change: &Change) -> Option<Option<Edit>> {
        let seal = |place: Vec<u8>, record| self.cipher.seal(&place, record).map(|sealed| Edit::Put(place, sealed));
        Some(match change {
            Change::Secret(name) => {
                let record = record::encode_head(vault.secret(name)?);
                seal(self.cipher.hash(name).to_vec(), record)
            }
            Change::Version(name, id) => {
                let record = record::encode_version(vault.secret(name)?.versions.get(id)?);
                seal([&self.cipher.hash(name)[..], &id.bytes()].concat(), record)
            }
            Change::Gone(name) => Some(Edit::Remove(self.cipher.hash(name))),
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has acknowledged nothing more; there is no one left to tell.
            let _ = writer.join();
        }
    }
}

/// Commits batches until the store is dropped, or a commit fails: from then on nothing is
/// acknowledged any more, since the file may be behind the memory. It is not tried again: after a failed fsync Linux
/// takes the lost pages for written, and a second one would succeed.
fn write_all(database: &Database, batches: &mpsc::Receiver<Batch>, progress: &Progress) {
    while let Ok(first) = batches.recv() {
        let waiting: Vec<Batch> = std::iter::once(first).chain(batches.try_iter().take(MOST_AT_ONCE)).collect();
        let mut edits = waiting.iter().flat_map(|batch| &batch.edits).peekable();
        let written = if edits.peek().is_some() { commit(database, edits) } else { Ok(()) };
        progress.failed.store(written.is_err(), Ordering::Release);
        for batch in waiting {
            (batch.acknowledge)(written.is_ok());
            progress.under_way.fetch_sub(1, Ordering::AcqRel);
        }
        if let Err(error) = written {
            tracing::error!(
                %error,
                "the vault's store cannot be written, and every request is refused from now on: see to the disk (is it \
                 full? what does the kernel's log say?), then restart; what was acknowledged is there"
            );
            return;
        }
    }
}

fn commit<'a>(database: &Database, edits: impl Iterator<Item = &'a Edit>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // The disk may write pages in any order: the new state is complete before it is pointed at.
    transaction.set_two_phase_commit(true);
    {
        let mut records = transaction.open_table(RECORDS)?;
        for edit in edits {
            match edit {
                Edit::Put(place, sealed) => drop(records.insert(place.as_slice(), sealed.as_slice())?),
                Edit::Remove(hash) => {
                    let last = [&hash[..], &[0xff; 17]].concat();
                    records.retain_in(&hash[..]..last.as_slice(), |_, _| false)?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Makes a store under another name and renames it once it is whole and on the disk: a store half made when the power
/// failed could not be told from a damaged one.
fn create(directory: &Path, path: &Path, cipher: &Cipher) -> Result<(), StoreError> {
    let io = |error| StoreError::Io(path.to_owned(), error);
    let unfinished = path.with_extension("redb.new");
    let backend = open_file(&unfinished)?;
    if path.exists() {
        // Another process has, and let go of the file when it was renamed.
        return Ok(());
    }
    backend.set_len(0).map_err(io)?;
    let _locked = make(backend, path, cipher)?;
    std::fs::rename(&unfinished, path).map_err(io)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

fn make(backend: impl StorageBackend, path: &Path, cipher: &Cipher) -> Result<Database, StoreError> {
    let database = open_database(backend, path)?;
    write_about(&database, cipher).map_err(|error| error.at(path))?;
    Ok(database)
}

/// Opens a file for one process alone.
fn open_file(path: &Path) -> Result<FileBackend, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| StoreError::Io(path.to_owned(), error))?;
    FileBackend::new(file).map_err(|error| Failure::from(error).at(path))
}

fn open_database(backend: impl StorageBackend, path: &Path) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(|error| Failure::from(error).at(path))
}

/// Makes sure of format and key.
fn check(database: &Database, cipher: &Cipher, path: &Path) -> Result<(), StoreError> {
    let at = |failure: Failure| failure.at(path);
    let About { format, check } = read_about(database).map_err(at)?;
    let format = format.as_slice().try_into().map_err(|_| at(Failure::damaged("the format")))?;
    let found = u32::from_le_bytes(format);
    if found > FORMAT_KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found });
    }
    match cipher.open(CHECK.as_bytes(), &check) {
        Some(_) => Ok(()),
        None => Err(StoreError::WrongKey(path.to_owned())),
    }
}

/// Gives `options` what the vault has from when it was made. Purge protection can be added, as in the
/// service; nothing else can change.
fn settle(database: &Database, cipher: &Cipher, options: &mut Options, path: &Path) -> Result<(), StoreError> {
    let at = |failure: Failure| failure.at(path);
    let kept = read_properties(database, cipher).map_err(at)?;
    if let Some(Properties { retention_days: kept, .. }) = kept
        && options.retention_days.is_some_and(|asked| asked != kept)
    {
        return Err(StoreError::Retention { path: path.to_owned(), kept });
    }
    let properties = Properties {
        retention_days: kept.map_or(options.recoverable_days(), |kept| kept.retention_days),
        purge_protection: options.purge_protection || kept.is_some_and(|kept| kept.purge_protection),
    };
    if kept != Some(properties) {
        write_properties(database, cipher, &properties).map_err(at)?;
    }
    options.retention_days = Some(properties.retention_days);
    options.purge_protection = properties.purge_protection;
    Ok(())
}

fn read_properties(database: &Database, cipher: &Cipher) -> Result<Option<Properties>, Failure> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let Some(sealed) = about.get(PROPERTIES)? else { return Ok(None) };
    let bytes = cipher.open(PROPERTIES.as_bytes(), sealed.value());
    let properties = bytes.and_then(|bytes| record::decode_properties(&bytes));
    properties.map(Some).ok_or_else(|| Failure::damaged("the vault's properties"))
}

fn write_properties(database: &Database, cipher: &Cipher, properties: &Properties) -> Result<(), Failure> {
    let sealed = cipher.seal(PROPERTIES.as_bytes(), record::encode_properties(properties));
    let sealed = sealed.ok_or_else(|| Failure::damaged("the vault's properties"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert(PROPERTIES, sealed.as_slice())?;
    Ok(transaction.commit()?)
}

struct About {
    format: Vec<u8>,
    check: Vec<u8>,
}

fn read_about(database: &Database) -> Result<About, Failure> {
    let about = database.begin_read()?.open_table(ABOUT)?;
    let value = |key: &str| -> Result<Vec<u8>, Failure> {
        Ok(about.get(key)?.map(|value| value.value().to_vec()).unwrap_or_default())
    };
    Ok(About { format: value(FORMAT)?, check: value(CHECK)? })
}

fn write_about(database: &Database, cipher: &Cipher) -> Result<(), Failure> {
    let check = Zeroizing::new(CHECK.as_bytes().to_vec());
    let check = cipher.seal(CHECK.as_bytes(), check).ok_or_else(|| Failure::damaged("the key check"))?;
    let transaction = database.begin_write()?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(FORMAT, &FORMAT_KNOWN.to_le_bytes()[..])?;
        about.insert(CHECK, check.as_slice())?;
        transaction.open_table(RECORDS)?;
    }
    Ok(transaction.commit()?)
}

/// Reads every secret: each head, then its versions, which the order of places puts behind it.
fn read_all(database: &Database, cipher: &Cipher) -> Result<Vec<Secret>, Failure> {
    let records = database.begin_read()?.open_table(RECORDS)?;
    let mut secrets: Vec<(Vec<u8>, Secret)> = Vec::new();
    for record in records.iter()? {
        let (place, sealed) = record?;
        let place = place.value();
        let bytes = cipher.open(place, sealed.value()).ok_or_else(|| Failure::damaged("a record"))?;
        if place.len() == HASH {
            let head: Head = record::decode_head(&bytes).ok_or_else(|| Failure::damaged("a secret"))?;
            secrets.push((place.to_vec(), head.into_secret(BTreeMap::new())));
            continue;
        }
        let version = record::decode_version(&bytes).ok_or_else(|| Failure::damaged("a version"))?;
        match secrets.last_mut() {
            Some((head, secret)) if place.starts_with(head) => {
                drop(secret.versions.insert(version.id, Box::new(version)))
            }
            _ => return Err(Failure::damaged("a version without its secret")),
        }
    }
    let secrets: Vec<Secret> = secrets.into_iter().map(|(_, secret)| secret).collect();
    let purged = |secret: &Secret| matches!(secret.state, State::Purged { .. });
    let whole = |secret: &Secret| purged(secret) || secret.versions.contains_key(&secret.latest);
    if secrets.iter().all(whole) { Ok(secrets) } else { Err(Failure::damaged("a latest version")) }
}

/// A failure whose file is not yet known.
struct Failure(redb::Error);

impl Failure {
    fn damaged(what: &str) -> Self {
        Failure(redb::Error::Corrupted(format!("{what} is missing or altered")))
    }

    fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self.0 {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse(path),
            redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => StoreError::Io(path, error),
            other => StoreError::Corrupt(path, other.to_string()),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

#[cfg(test)]
mod power_loss;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use parking_lot::{Condvar, Mutex};
    use redb::backends::InMemoryBackend;

    use super::super::model::{NewSecret, SecretName, UnixTime, VersionId};
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Disk {
        Works,
        Hangs,
        Fails,
    }

    /// A disk whose flushes do what the test says.
    #[derive(Clone, Debug)]
    struct Flush(Arc<(Mutex<Disk>, Condvar)>);

    impl Flush {
        fn set(&self, disk: Disk) {
            *self.0.0.lock() = disk;
            self.0.1.notify_all();
        }

        fn run(&self) -> io::Result<()> {
            let mut disk = self.0.0.lock();
            self.0.1.wait_while(&mut disk, |disk| *disk == Disk::Hangs);
            if *disk == Disk::Fails { Err(io::Error::other("no disk")) } else { Ok(()) }
        }
    }

    #[derive(Debug)]
    struct Slow(InMemoryBackend, Flush);

    impl StorageBackend for Slow {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.1.run()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    struct Kept {
        vault: Vault,
        store: Store,
        flush: Flush,
    }

    impl Kept {
        fn new() -> Kept {
            let flush = Flush(Arc::new((Mutex::new(Disk::Works), Condvar::new())));
            let database = Builder::new().create_with_backend(Slow(InMemoryBackend::new(), flush.clone())).unwrap();
            let store = Store::over(database, Cipher::new(&MasterKey::from([1; 32])).unwrap()).unwrap();
            Kept { vault: Vault::new(Options::default()), store, flush }
        }

        fn set(&mut self) -> Receiver<bool> {
            let (name, now) = (SecretName::parse("a").unwrap(), UnixTime::new(std::time::Duration::ZERO));
            self.vault.set(&name, NewSecret::from("1"), VersionId::LOWEST, now).unwrap();
            self.queue()
        }

        /// Queues what has changed, or the question whether all is kept.
        fn queue(&mut self) -> Receiver<bool> {
            let (tell, told) = channel();
            let changes = self.vault.take_changes();
            self.store.write(&self.vault, &changes, Box::new(move |kept| tell.send(kept).unwrap()));
            told
        }
    }

    #[test]
    fn what_is_read_waits_for_what_is_not_on_the_disk_yet() {
        let mut kept = Kept::new();
        assert!(kept.store.is_level());
        kept.flush.set(Disk::Hangs);
        let (written, read) = (kept.set(), kept.queue());
        assert!(!kept.store.is_level() && written.try_recv().is_err() && read.try_recv().is_err());
        kept.flush.set(Disk::Works);
        assert_eq!((written.recv(), read.recv()), (Ok(true), Ok(true)));
    }

    #[test]
    fn nothing_is_shown_once_a_write_has_failed() {
        let mut kept = Kept::new();
        kept.flush.set(Disk::Fails);
        assert_eq!(kept.set().recv(), Ok(false));
        assert_ne!(kept.queue().recv(), Ok(true));
        assert!(kept.store.has_failed() && !kept.store.is_level());
    }
}
