//! A token that somebody else writes into a file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{AuthError, Token};
use crate::sys::SecretBytes;

/// A token is some 1–4 KiB; a larger file is a mistake.
const SIZE_MAX: u64 = 64 * 1024;

/// The file, and the token it held when it was last read.
pub struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Token>)>>,
}

/// Tells one state of a file from another: a rewrite moves the time, a rename brings another inode.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Stamp {
        Stamp { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> TokenFile {
        TokenFile { path, read: Mutex::new(None) }
    }

    /// The token the file holds now.
    pub(super) fn token(&self) -> Result<Arc<Token>, AuthError> {
        let mut file = self.open().map_err(|error| self.unreadable(error))?;
        let stamp = file.metadata().map(|metadata| Stamp::from(&metadata)).map_err(|error| self.unreadable(error))?;
        let mut read = self.read.lock();
        if let Some((known, token)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(self.parse(&mut file)?);
        *read = Some((stamp, Arc::clone(&token)));
        Ok(token)
    }

    /// Opens the file, if it is an ordinary one: a FIFO would keep every call waiting for its writer.
    fn open(&self) -> io::Result<File> {
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if metadata.size() > SIZE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
        }
        Ok(file)
    }

    fn parse(&self, file: &mut File) -> Result<Token, AuthError> {
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(SIZE_MAX).read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
        let token = bytes.trim_ascii();
        // RFC 6750 §2.1: what a bearer token may consist of; no blank, no line break.
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if token.is_empty() || !token.iter().all(legal) {
            return Err(AuthError::Malformed(self.path.display().to_string()));
        }
        Ok(Token(SecretBytes::new(token.to_vec())))
    }

    fn unreadable(&self, error: io::Error) -> AuthError {
        AuthError::Unreadable { path: self.path.display().to_string(), error }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn header(file: &TokenFile) -> Vec<u8> {
        file.token().unwrap().header().to_vec()
    }

    #[test]
    fn a_rewritten_or_replaced_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let file = TokenFile::new(path.clone());
        assert_eq!(header(&file), b"Bearer first");
        fs::write(folder.path().join("new"), "other\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(header(&file), b"Bearer other");
        fs::write(&path, "a-longer-one").unwrap();
        assert_eq!(header(&file), b"Bearer a-longer-one");
    }

    #[test]
    fn what_cannot_be_a_token_is_named_but_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["", "\n", "two words", "a\nb"] {
            fs::write(&path, content).unwrap();
            let error = TokenFile::new(path.clone()).token().unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert!(!error.contains("two words"), "{error}");
        }
        let missing = TokenFile::new(folder.path().join("missing")).token().unwrap_err();
        assert!(matches!(missing, AuthError::Unreadable { .. }));
    }

    #[test]
    fn a_fifo_or_a_directory_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [fifo, folder.path().to_owned()] {
            let error = TokenFile::new(path).token().unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }
}
