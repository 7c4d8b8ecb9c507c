//! The one errno table.

use std::borrow::Cow;
use std::fmt;

use tracing::Level;

use crate::vault::{Denial, Invalid, VaultError, VaultErrorKind};

/// What the caller of an operation sees.
#[derive(Clone, Debug)]
pub enum FsError {
    /// There is no such place.
    NotFound,
    /// A name longer than any here.
    NameTooLong,
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
    /// Not allowed: by an option, by the brake, or by what Key Vault is. Says what to do instead.
    NotPermitted(Sentence),
    /// The name is taken.
    Exists(Sentence),
    /// Something is under way that has to end first.
    Busy(Sentence),
    /// What a write started from is no longer the newest.
    Stale(Sentence),
    /// More than a vault can hold.
    TooLarge(Sentence),
    /// Bytes that are no UTF-8.
    NotText,
    /// The directory holds something.
    NotEmpty(Sentence),
    /// A name or value that the vault could not hold.
    Invalid(Sentence),
    /// There is no such extended attribute.
    NoAttribute,
    /// An extended attribute that is not akvfs's own; programs that copy files try them all.
    ForeignAttribute,
    /// The vault's API has no way to do it.
    Unsupported(Sentence),
    /// No room for more, in the vault's limits or in memory.
    NoSpace(Sentence),
    /// The vault said no.
    Vault(VaultError),
}

/// What happened, and what to do.
pub type Sentence = Cow<'static, str>;

impl FsError {
    /// The number that the caller gets (errno(3)).
    pub fn errno(&self) -> i32 {
        match self {
            FsError::NotFound => libc::ENOENT,
            FsError::NameTooLong => libc::ENAMETOOLONG,
            FsError::IsADirectory => libc::EISDIR,
            FsError::ReadOnly => libc::EROFS,
            FsError::BadHandle => libc::EBADF,
            FsError::TimedOut => libc::ETIMEDOUT,
            FsError::Interrupted => libc::EINTR,
            FsError::Broken => libc::EIO,
            FsError::NotPermitted(_) => libc::EPERM,
            FsError::Exists(_) => libc::EEXIST,
            FsError::Busy(_) => libc::EBUSY,
            FsError::Stale(_) => libc::ESTALE,
            FsError::TooLarge(_) => libc::EFBIG,
            FsError::NotText => libc::EILSEQ,
            FsError::NotEmpty(_) => libc::ENOTEMPTY,
            FsError::Invalid(_) => libc::EINVAL,
            FsError::NoAttribute => libc::ENODATA,
            FsError::Unsupported(_) | FsError::ForeignAttribute => libc::EOPNOTSUPP,
            FsError::NoSpace(_) => libc::ENOSPC,
            FsError::Vault(error) => vault_errno(&error.kind),
        }
    }

    /// Whether the vault has decided, so that asking again soon would get the same answer.
    pub(super) fn is_definite(&self) -> bool {
        matches!(self, FsError::Vault(error) if error.is_definite())
    }

    /// How loud it is in the log. What ordinary programs cause by looking around is quiet.
    pub fn level(&self) -> Level {
        match self {
            FsError::NotFound | FsError::NameTooLong | FsError::IsADirectory => Level::DEBUG,
            FsError::Interrupted | FsError::ReadOnly => Level::DEBUG,
            FsError::NotPermitted(_) | FsError::Exists(_) | FsError::Busy(_) | FsError::NotEmpty(_) => Level::DEBUG,
            FsError::Invalid(_) | FsError::NoAttribute | FsError::ForeignAttribute | FsError::Unsupported(_) => {
                Level::DEBUG
            }
            // A write that is not in the vault.
            FsError::Stale(_) | FsError::TooLarge(_) | FsError::NotText | FsError::NoSpace(_) => Level::WARN,
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
        VaultErrorKind::Rejected(404) => libc::ENOENT,
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
            FsError::NameTooLong => f.write_str("a name has at most 255 bytes"),
            FsError::IsADirectory => f.write_str("this is a directory"),
            FsError::ReadOnly => f.write_str("this mount is read-only"),
            FsError::BadHandle => f.write_str("the handle is not open: please report it"),
            FsError::TimedOut => f.write_str("no answer within the deadline: check the network, or raise --deadline"),
            FsError::Interrupted => f.write_str("interrupted by a signal"),
            FsError::Broken => f.write_str("an error inside akvfs ended this call: please report it"),
            FsError::NotPermitted(sentence)
            | FsError::Exists(sentence)
            | FsError::Busy(sentence)
            | FsError::Stale(sentence)
            | FsError::TooLarge(sentence)
            | FsError::NotEmpty(sentence)
            | FsError::Invalid(sentence)
            | FsError::Unsupported(sentence)
            | FsError::NoSpace(sentence) => f.write_str(sentence),
            FsError::NotText => f.write_str(
                "the bytes are no UTF-8, which is all that a secret can hold: mount with --binary to keep them in base64",
            ),
            FsError::NoAttribute => f.write_str("there is no such extended attribute"),
            FsError::ForeignAttribute => f.write_str("a vault keeps no extended attributes but user.akv.*"),
            FsError::Vault(error) => error.fmt(f),
        }
    }
}
