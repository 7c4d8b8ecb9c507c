//! The lasting store of a vault: one file, every record encrypted and in its place, one writer.
//! A change is acknowledged once it is on the disk; those that wait together share one commit.
//! Knows no rule of the vault: it keeps what [`Change`]s tell it to.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::keys::MasterKey;
use super::model::{Secret, State};
use super::record::{self, Head};
use super::rules::{Change, Vault};

/// Hash of the name; for a version followed by its identifier. A secret's versions thus stand
/// right behind it.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const FORMAT: &str = "format";
/// A known text under the store's key: tells a wrong key from a damaged record.
const CHECK: &str = "check";
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
    failed: Arc<AtomicBool>,
}

/// Called with whether the changes are on the disk.
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
    /// Opens the store in a directory, or makes both, and reads every secret.
    pub(super) fn open(directory: &Path, key: &MasterKey) -> Result<(Store, Vec<Secret>), StoreError> {
        let path = file_in(directory);
        let database = open_database(directory, &path)?;
        let corrupt = |what: &str| StoreError::Corrupt(path.clone(), what.to_owned());
        let cipher = Cipher::new(key).ok_or_else(|| corrupt("the key cannot be used"))?;
        check(&database, &cipher, &path)?;
        let secrets = read_all(&database, &cipher).map_err(|error| error.at(&path))?;
        let (queue, batches) = mpsc::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let writer = std::thread::Builder::new().name("vault-store".to_owned());
        let writer = writer.spawn({
            let failed = failed.clone();
            move || write_all(&database, &batches, &failed)
        });
        let writer = writer.map_err(|error| StoreError::Io(path.clone(), error))?;
        Ok((Store { cipher, queue: Some(queue), writer: Some(writer), failed }, secrets))
    }

    /// Whether a commit has failed, so that nothing can be written until a restart.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Queues what has changed in `vault`. Calls that hold the vault's lock are written in the
    /// order of the changes.
    pub(super) fn write(&self, vault: &Vault, changes: &[Change], acknowledge: Acknowledge) {
        let edits: Option<Vec<Edit>> = changes.iter().filter_map(|change| self.edit(vault, change)).collect();
        let (Some(edits), Some(queue)) = (edits, &self.queue) else { return acknowledge(false) };
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
/// acknowledged any more, since the file may be behind the memory.
fn write_all(database: &Database, batches: &mpsc::Receiver<Batch>, failed: &AtomicBool) {
    while let Ok(first) = batches.recv() {
        let waiting: Vec<Batch> = std::iter::once(first).chain(batches.try_iter().take(MOST_AT_ONCE)).collect();
        let written = commit(database, waiting.iter().flat_map(|batch| &batch.edits));
        failed.store(written.is_err(), Ordering::Release);
        for batch in waiting {
            (batch.acknowledge)(written.is_ok());
        }
        if let Err(error) = written {
            tracing::error!(%error, "the vault's store cannot be written; writes are refused until a restart");
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

fn open_database(directory: &Path, path: &Path) -> Result<Database, StoreError> {
    let io = |error| StoreError::Io(path.to_owned(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    let backend = FileBackend::new(file).map_err(|error| Failure::from(error).at(path))?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(|error| Failure::from(error).at(path))
}

/// Makes sure of format and key; a new store is given both.
fn check(database: &Database, cipher: &Cipher, path: &Path) -> Result<(), StoreError> {
    let at = |failure: Failure| failure.at(path);
    let about = read_about(database).map_err(at)?;
    let Some(About { format, check }) = about else {
        return write_about(database, cipher).map_err(at);
    };
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

struct About {
    format: Vec<u8>,
    check: Vec<u8>,
}

fn read_about(database: &Database) -> Result<Option<About>, Failure> {
    let about = match database.begin_read()?.open_table(ABOUT) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        about => about?,
    };
    let value = |key: &str| -> Result<Vec<u8>, Failure> {
        Ok(about.get(key)?.map(|value| value.value().to_vec()).unwrap_or_default())
    };
    Ok(Some(About { format: value(FORMAT)?, check: value(CHECK)? }))
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
            Some((head, secret)) if place.starts_with(head) => drop(secret.versions.insert(version.id, version)),
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
