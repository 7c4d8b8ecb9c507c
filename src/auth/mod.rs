//! The token that the vault's REST API wants to see, and where it comes from.
//!
//! Owns the credential and the one copy of its token. Refuses to judge whom a token may be sent to:
//! that is settled before it is asked for.

mod token_file;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::sys::SecretBytes;
use token_file::TokenFile;

/// What a challenge says about the token that it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The authority that issues it, with the tenant as its path.
    pub authority: String,
    /// The audience, such as `https://vault.azure.net`.
    pub resource: String,
}

/// A bearer token.
#[derive(Debug)]
pub struct Token(SecretBytes);

impl Token {
    /// The value of the Authorization header, wiped when dropped.
    pub fn header(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([b"Bearer ", self.0.expose()].concat())
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token file cannot be read.
    #[error("cannot read the token file {path}: {error}")]
    Unreadable {
        /// As given by `--token-file`.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The token file holds nothing that could be a token.
    #[error("the token file {0} holds no token: it should be one line, the token alone")]
    Malformed(String),
}

/// Issues tokens in this process, for a vault that lives in it too.
pub type Issuer = Box<dyn Fn() -> String + Send + Sync>;

/// Where tokens come from.
pub enum Credential {
    /// A file that somebody else keeps up to date (`--auth token-file`).
    File(TokenFile),
    /// The embedded vault's own issuer.
    Issued(Issuer),
}

impl Credential {
    /// Tokens from a file, read again whenever it changes.
    pub fn from_file(path: std::path::PathBuf) -> Credential {
        Credential::File(TokenFile::new(path))
    }

    /// A token for the scope.
    ///
    /// # Errors
    /// Where the source has none to give.
    pub fn token(&self, _scope: &Scope) -> Result<Arc<Token>, AuthError> {
        match self {
            Credential::File(file) => file.token(),
            Credential::Issued(issue) => Ok(Arc::new(Token(SecretBytes::new(issue().into_bytes())))),
        }
    }
}
