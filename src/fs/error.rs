//! The one errno table.

use std::fmt;

use tracing::Level;

use crate::vault::{Denial, Invalid, VaultError, VaultErrorKind};

/// What the caller of an operation sees.
#[derive(Clone, Debug)]
pub enum FsError {
    /// There is no such place.
    NotFound,
    /// A directory where a file is meant.
    IsADirectory,
    /// The mount is read-only.
    ReadOnly,
    /// A handle that is not open: an error of ours or of the kernel's.
    BadHandle,
    /// The deadline passed.
    TimedOut,
    /// The caller has a signal to see to.
    Interrupted,
    /// The operation panicked: an error of ours.
    Broken,
    /// The vault said no.
    Vault(VaultError),
}

impl FsError {
    /// The number that the caller gets (errno(3)).
    pub fn errno(&self) -> i32 {
        match self {
            FsError::NotFound => libc::ENOENT,
            FsError::IsADirectory => libc::EISDIR,
            FsError::ReadOnly => libc::EROFS,
            FsError::BadHandle => libc::EBADF,
            FsError::TimedOut => libc::ETIMEDOUT,
            FsError::Interrupted => libc::EINTR,
            FsError::Broken => libc::EIO,
            FsError::Vault(error) => vault_errno(&error.kind),
        }
    }

    /// How loud it is in the log. What ordinary programs cause by looking around is quiet.
    pub fn level(&self) -> Level {
        match self {
            FsError::NotFound | FsError::IsADirectory | FsError::Interrupted | FsError::ReadOnly => Level::DEBUG,
            FsError::TimedOut | FsError::Vault(_) => Level::WARN,
            FsError::BadHandle | FsError::Broken => Level::ERROR,
        }
    }
}

fn vault_errno(kind: &VaultErrorKind) -> i32 {
    match kind {
        VaultErrorKind::Disabled => libc::EACCES,
        VaultErrorKind::Denied(Denial::Role(_) | Denial::Policy(_)) => libc::EACCES,
        VaultErrorKind::Denied(Denial::Firewall | Denial::PrivateLink) => libc::EACCES,
        VaultErrorKind::Denied(Denial::Managed | Denial::Unsaid) => libc::EPERM,
        VaultErrorKind::Unauthenticated(_) | VaultErrorKind::NoToken(_) => libc::EACCES,
        VaultErrorKind::Throttled(_) => libc::EBUSY, // not EAGAIN: readers take that for "poll and retry", and spin
        VaultErrorKind::Conflict => libc::EBUSY,
        VaultErrorKind::SoftDeleted | VaultErrorKind::Taken => libc::EEXIST,
        VaultErrorKind::Invalid(Invalid::NotUtf8) => libc::EILSEQ,
        VaultErrorKind::Invalid(Invalid::ValueTooLong) => libc::EFBIG,
        VaultErrorKind::Invalid(Invalid::TooManyTags | Invalid::TagLength) => libc::ENOSPC,
        VaultErrorKind::Invalid(Invalid::ContentTypeTooLong | Invalid::Date) => libc::EINVAL,
        VaultErrorKind::Rejected(_) => libc::EINVAL,
        VaultErrorKind::Server(_) => libc::EIO,
        VaultErrorKind::Unreachable(_) => libc::EHOSTUNREACH,
        VaultErrorKind::TimedOut => libc::ETIMEDOUT,
        VaultErrorKind::NotKeyVault(_) => libc::EPROTO,
        VaultErrorKind::Aborted => libc::EIO,
    }
}

impl From<VaultError> for FsError {
    fn from(error: VaultError) -> FsError {
        FsError::Vault(error)
    }
}

impl std::error::Error for FsError {}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FsError::NotFound => f.write_str("there is no such file"),
            FsError::IsADirectory => f.write_str("this is a directory"),
            FsError::ReadOnly => f.write_str("this mount is read-only"),
            FsError::BadHandle => f.write_str("the handle is not open: please report it"),
            FsError::TimedOut => f.write_str("no answer within the deadline: check the network, or raise --deadline"),
            FsError::Interrupted => f.write_str("interrupted by a signal"),
            FsError::Broken => f.write_str("an error inside akvfs ended this call: please report it"),
            FsError::Vault(error) => error.fmt(f),
        }
    }
}
