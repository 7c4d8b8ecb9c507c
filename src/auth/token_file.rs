//! A token that somebody else writes into a file.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
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
        let stamp = fs::metadata(&self.path)
            .and_then(|metadata| if metadata.size() > SIZE_MAX { Err(too_large()) } else { Ok(Stamp::from(&metadata)) })
            .map_err(|error| self.unreadable(error))?;
        let mut read = self.read.lock();
        if let Some((known, token)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(self.parse()?);
        *read = Some((stamp, Arc::clone(&token)));
        Ok(token)
    }

    fn parse(&self) -> Result<Token, AuthError> {
        let bytes = Zeroizing::new(fs::read(&self.path).map_err(|error| self.unreadable(error))?);
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

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB")
}

#[cfg(test)]
mod tests {
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
}
