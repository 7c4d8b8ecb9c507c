//! The master key of a lasting vault: where it comes from, and the keys derived from it. A key file
//! holds 64 hexadecimal digits and is readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::random;

const KEY_BYTES: usize = 32;
/// Beside the store, where nobody names another.
const GENERATED: &str = "master.key";

/// 256 bits that open a store. `Debug` shows nothing of them.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Others could read it.
    #[error("key file {0} is open to other users (mode {1:03o}); only its owner may read it: chmod 600")]
    Open(PathBuf, u32),
    /// It holds something else.
    #[error("key file {0} does not hold a key: 64 hexadecimal digits")]
    Content(PathBuf),
    /// A store is here, but the key that was generated for it is gone.
    #[error(
        "the store in {0} was made with a generated key, and that file ({GENERATED}) is gone: put it back, nothing else opens the store"
    )]
    Gone(PathBuf),
}

impl MasterKey {
    /// Reads a key file: one the user names, or a systemd credential.
    ///
    /// # Errors
    /// Where it cannot be read, is open to other users, or holds no key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let io = |error| KeyError::Io(path.to_owned(), error);
        let mut file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(io)?;
        decode(text.trim()).ok_or_else(|| KeyError::Content(path.to_owned()))
    }

    /// Reads the key file beside a store, made on first use. It protects copies of the store that
    /// leave the key behind; it does not protect from who can read the directory.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file), and where there is a store but no key.
    pub fn beside_store(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(GENERATED);
        match MasterKey::from_file(&path) {
            Err(KeyError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                if super::store::file_in(directory).exists() {
                    return Err(KeyError::Gone(directory.to_owned()));
                }
                let key = MasterKey(Zeroizing::new(random::bytes()));
                match key.write(&path) {
                    Ok(()) => Ok(key),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => MasterKey::from_file(&path),
                    Err(error) => Err(KeyError::Io(path, error)),
                }
            }
            read => read,
        }
    }

    /// Lasting before anything is encrypted with it, and under its name only once it is whole. Where another process
    /// was faster, its key stays: `AlreadyExists`.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        self.0.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
        text.push('\n');
        let unfinished = path.with_extension(format!("key.{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        linked?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// The key for one purpose; the master key itself encrypts nothing.
    pub(super) fn subkey(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0), purpose.as_bytes());
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(tag.as_ref());
        key
    }
}

impl From<[u8; KEY_BYTES]> for MasterKey {
    fn from(bytes: [u8; KEY_BYTES]) -> Self {
        MasterKey(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(<redacted>)")
    }
}

fn decode(text: &str) -> Option<MasterKey> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(MasterKey(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_generated_key_is_the_owners_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let first = MasterKey::beside_store(directory.path()).unwrap();
        let mode = std::fs::metadata(directory.path().join(GENERATED)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(*MasterKey::beside_store(directory.path()).unwrap().0, *first.0);
    }

    #[test]
    fn the_key_of_a_faster_process_stays() {
        let directory = tempfile::tempdir().unwrap();
        let first = MasterKey::beside_store(directory.path()).unwrap();
        let late = MasterKey::from([9; 32]).write(&directory.path().join(GENERATED)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*MasterKey::beside_store(directory.path()).unwrap().0, *first.0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(super::super::store::file_in(directory.path()), "").unwrap();
        assert!(matches!(MasterKey::beside_store(directory.path()), Err(KeyError::Gone(_))));
    }

    #[test]
    fn open_files_and_other_contents_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for (content, mode, refused) in [
            ("00".repeat(32) + "\n", 0o640, "open"),
            ("00".repeat(31), 0o600, "hold"),
            ("zz".repeat(32), 0o600, "hold"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = MasterKey::from_file(&path).unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
        }
        std::fs::write(&path, "Ff".repeat(32)).unwrap();
        assert_eq!(*MasterKey::from_file(&path).unwrap().0, [255; 32]);
    }
}
