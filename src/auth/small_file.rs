//! A small file with a secret in it, read without ever blocking a worker.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::AuthError;

/// Tokens are some 1–4 KiB, keys and certificates less than 16; a larger file is a mistake.
const SIZE_MAX: u64 = 64 * 1024;

/// A file that somebody else keeps up to date.
pub(super) struct SmallFile {
    what: &'static str,
    path: PathBuf,
    /// A read that hangs, on a network filesystem for instance, holds one thread and not one more.
    reading: Arc<Semaphore>,
}

impl SmallFile {
    pub(super) fn new(what: &'static str, path: PathBuf) -> SmallFile {
        SmallFile { what, path, reading: Arc::new(Semaphore::new(1)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now.
    pub(super) async fn read(&self) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&path)
        });
        let read = read.await.unwrap_or_else(|_| Err(io::Error::other("the read was abandoned")));
        read.map_err(|error| AuthError::Unreadable {
            what: self.what,
            path: self.path.display().to_string(),
            error: error.to_string(),
        })
    }
}

/// Reads the file, if it is an ordinary one: a FIFO would keep its reader waiting for a writer.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(SIZE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
