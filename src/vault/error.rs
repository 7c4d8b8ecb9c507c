//! What the vault said, when it did not give what was asked.

use std::fmt;
use std::time::Duration;

/// A failed call to the vault: what went wrong, what the vault called it, and what to do.
///
/// It never holds a response body or a URL's query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultError {
    /// What went wrong.
    pub kind: VaultErrorKind,
    /// The vault's own word for it: the inner error code where there is one, else the outer.
    pub code: Option<Box<str>>,
    /// `x-ms-request-id`, which Azure support asks for.
    pub request_id: Option<Box<str>>,
}

/// What went wrong, as far as the caller's next step depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultErrorKind {
    /// The secret or version is disabled (403 `SecretDisabled`).
    Disabled,
    /// The vault refuses this caller (403).
    Denied(Denial),
    /// The token was refused even after a new challenge (401).
    Unauthenticated,
    /// No token could be had; says why.
    NoToken(Box<str>),
    /// Too many requests (429), with the wait the vault asks for.
    Throttled(Option<Duration>),
    /// The secret is in a state that forbids the call (409).
    Conflict,
    /// The vault calls the request wrong (400 and other 4xx), with the status.
    Rejected(u16),
    /// The vault has trouble (5xx), with the status.
    Server(u16),
    /// Nothing answered; says what failed: name resolution, connection, TLS.
    Unreachable(Box<str>),
    /// No answer within the time limit.
    TimedOut,
    /// Something answered, but not as Key Vault does; says how.
    NotKeyVault(Box<str>),
    /// The call ended without an answer because of an error of ours.
    Aborted,
}

/// Who refused, for a 403 that is not about the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A role or access policy (`ForbiddenByRbac`, `ForbiddenByPolicy`, `AccessDenied`).
    Permission,
    /// The vault's firewall, or a private link (`ForbiddenByFirewall`, `ForbiddenByConnection`).
    Network,
    /// The secret belongs to a certificate (`SecretManagedByKeyVault`).
    Managed,
}

impl VaultError {
    /// An error that is not an answer of the vault's.
    pub fn of(kind: VaultErrorKind) -> VaultError {
        VaultError { kind, code: None, request_id: None }
    }

    /// Whether the vault has decided, so that asking again soon would get the same answer. An outage is
    /// no answer.
    pub fn is_definite(&self) -> bool {
        match self.kind {
            VaultErrorKind::Disabled
            | VaultErrorKind::Denied(Denial::Permission | Denial::Managed)
            | VaultErrorKind::Rejected(_) => true,
            VaultErrorKind::Denied(Denial::Network)
            | VaultErrorKind::Unauthenticated
            | VaultErrorKind::NoToken(_)
            | VaultErrorKind::Throttled(_)
            | VaultErrorKind::Conflict
            | VaultErrorKind::Server(_)
            | VaultErrorKind::Unreachable(_)
            | VaultErrorKind::TimedOut
            | VaultErrorKind::NotKeyVault(_)
            | VaultErrorKind::Aborted => false,
        }
    }
}

impl std::error::Error for VaultError {}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match (&self.code, &self.request_id) {
            (Some(code), Some(id)) => write!(f, " [{code}, request {id}]"),
            (Some(code), None) => write!(f, " [{code}]"),
            (None, Some(id)) => write!(f, " [request {id}]"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for VaultErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("this version is disabled: enable it in the vault to read it"),
            Self::Denied(denial) => denial.fmt(f),
            Self::Unauthenticated => {
                f.write_str("the vault refuses the token: get a new one, for this vault's tenant and audience")
            }
            Self::NoToken(why) => write!(f, "no token for the vault: {why}"),
            Self::Throttled(None) => f.write_str("too many requests for this vault: wait a moment"),
            Self::Throttled(Some(wait)) => write!(f, "too many requests for this vault: wait {} s", wait.as_secs()),
            Self::Conflict => f.write_str("the secret is deleted, or being deleted or recovered: wait, or recover it"),
            Self::Rejected(status) => write!(f, "the vault calls the request wrong (HTTP {status})"),
            Self::Server(status) => write!(f, "the vault has trouble (HTTP {status}): try again later"),
            Self::Unreachable(why) => write!(f, "the vault cannot be reached: {why}"),
            Self::TimedOut => f.write_str("the vault did not answer in time: check the network, or raise --deadline"),
            Self::NotKeyVault(how) => write!(f, "this is not a Key Vault, or something stands in between: {how}"),
            Self::Aborted => f.write_str("the call was abandoned by an error inside akvfs: please report it"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permission => {
                "the vault denies this to your identity: it needs the role \"Key Vault Secrets User\", \
                 or an access policy with get and list"
            }
            Self::Network => {
                "the vault's firewall or private link shuts this machine out: allow its address, \
                 or connect through the private endpoint"
            }
            Self::Managed => "the secret belongs to a certificate: change the certificate instead",
        })
    }
}
