//! A token that somebody else writes into a file.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::AuthError;
use super::provider::{Source, Wanted};
use super::small_file::SmallFile;
use super::token::{Fetched, Token};

/// For so long a token is used without a look at the file. A token that the vault refuses is looked up
/// at once.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The file with the token.
pub(super) struct TokenFile(SmallFile);

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> TokenFile {
        TokenFile(SmallFile::new("the token file", path))
    }

    async fn token(&self) -> Result<Fetched, AuthError> {
        let bytes = self.0.read().await?;
        let token = Token::parse(bytes.trim_ascii()).ok_or_else(|| {
            AuthError::Unusable(format!(
                "the token file {} holds no token: it should be one line, the token alone",
                self.0.path().display()
            ))
        })?;
        Ok(Fetched { token, expires: None, refresh: Instant::now() + LOOK_AGAIN })
    }
}

impl Source for TokenFile {
    fn name(&self) -> &'static str {
        "the token file"
    }

    fn fetch<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
        Box::pin(self.token())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn header(file: &TokenFile) -> Vec<u8> {
        file.token().await.unwrap().token.header().to_vec()
    }

    #[tokio::test]
    async fn a_rewritten_or_replaced_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let file = TokenFile::new(path.clone());
        assert_eq!(header(&file).await, b"Bearer first");
        fs::write(folder.path().join("new"), "other\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(header(&file).await, b"Bearer other");
        fs::write(&path, "a-longer-one").unwrap();
        assert_eq!(header(&file).await, b"Bearer a-longer-one");
    }

    #[tokio::test]
    async fn what_cannot_be_a_token_is_named_but_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["", "\n", "two words", "a\nb"] {
            fs::write(&path, content).unwrap();
            let error = TokenFile::new(path.clone()).token().await.unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert!(!error.contains("two words"), "{error}");
        }
        let missing = TokenFile::new(folder.path().join("missing")).token().await.unwrap_err();
        assert!(matches!(missing, AuthError::Unreadable { .. }));
    }

    #[tokio::test]
    async fn a_fifo_or_a_directory_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [fifo, folder.path().to_owned()] {
            let error = TokenFile::new(path).token().await.unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }
}
