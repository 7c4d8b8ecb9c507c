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
    /// The token was refused, and so was the one that was got in its place (401).
    Unauthenticated(TokenRefusal),
    /// No token could be had; says why.
    NoToken(Box<str>),
    /// Too many requests (429), with the wait that the vault asks for or that our own limit takes.
    Throttled(Option<Duration>),
    /// The secret is being deleted or recovered, and takes no such call until that has settled (409).
    Conflict,
    /// The name belongs to a soft-deleted secret (409 `ObjectIsDeletedButRecoverable`).
    SoftDeleted,
    /// The name is taken by another secret, or was purged a moment ago (409 of a restore).
    Taken,
    /// Not a value or property that a vault could hold; nothing was sent.
    Invalid(Invalid),
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
    /// No role of the caller's allows this (`ForbiddenByRbac`).
    Role(Permission),
    /// No access policy of the vault allows this (`ForbiddenByPolicy`, formerly `AccessDenied`).
    Policy(Permission),
    /// The vault's firewall (`ForbiddenByFirewall`).
    Firewall,
    /// Public access is off, or the private link is not approved (`ForbiddenByConnection`).
    PrivateLink,
    /// The secret belongs to a certificate (`SecretManagedByKeyVault`).
    Managed,
    /// The vault gives no reason that has a code, as for a purge under purge protection.
    Unsaid,
}

impl Denial {
    /// Whether it is the caller's identity that is refused, not its address or the secret's nature.
    pub fn is_permission(self) -> bool {
        matches!(self, Denial::Role(_) | Denial::Policy(_))
    }
}

/// A permission on secrets, by its name in access policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To read a value.
    Get,
    /// To list secrets, versions or deleted secrets.
    List,
    /// To make a version, or change properties.
    Set,
    /// To delete.
    Delete,
    /// To recover.
    Recover,
    /// To back up.
    Backup,
    /// To restore.
    Restore,
    /// To purge.
    Purge,
}

impl Permission {
    fn name(self) -> &'static str {
        match self {
            Permission::Get => "get",
            Permission::List => "list",
            Permission::Set => "set",
            Permission::Delete => "delete",
            Permission::Recover => "recover",
            Permission::Backup => "backup",
            Permission::Restore => "restore",
            Permission::Purge => "purge",
        }
    }

    /// The least built-in role that has it.
    fn role(self) -> &'static str {
        match self {
            Permission::Get | Permission::List => "Key Vault Secrets User",
            Permission::Set
            | Permission::Delete
            | Permission::Recover
            | Permission::Backup
            | Permission::Restore
            | Permission::Purge => "Key Vault Secrets Officer",
        }
    }
}

/// Why a token was refused, as far as the vault or the clocks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It is meant for another resource (`AKV10022`).
    Audience,
    /// It was issued by another tenant (`AKV10032`).
    Tenant,
    /// The vault cannot find the key it is signed with (`AKV10046`).
    Key,
    /// The vault asks for a sign-in with conditions that the credential cannot meet.
    Claims,
    /// This machine's clock is off by so many seconds; positive where it is ahead of the vault's.
    Clock(i64),
    /// The vault does not say.
    Unsaid,
}

/// What no vault could hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A value that is not UTF-8, which is all that the API carries.
    NotUtf8,
    /// A value of more than 25,600 characters.
    ValueTooLong,
    /// A content type of more than 255 characters.
    ContentTypeTooLong,
    /// More than 15 tags.
    TooManyTags,
    /// A tag's name or value of more than 512 characters, or a name of none.
    TagLength,
    /// A date before 1970 or after 9999.
    Date,
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
            | VaultErrorKind::Denied(Denial::Role(_) | Denial::Policy(_) | Denial::Managed | Denial::Unsaid)
            | VaultErrorKind::SoftDeleted
            | VaultErrorKind::Taken
            | VaultErrorKind::Invalid(_)
            | VaultErrorKind::Rejected(_) => true,
            VaultErrorKind::Denied(Denial::Firewall | Denial::PrivateLink)
            | VaultErrorKind::Unauthenticated(_)
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
            Self::Unauthenticated(refusal) => refusal.fmt(f),
            Self::NoToken(why) => write!(f, "no token for the vault: {why}"),
            Self::Throttled(None) => f.write_str("too many requests for this vault: wait a moment"),
            Self::Throttled(Some(wait)) => write!(f, "too many requests for this vault: wait {} s", wait.as_secs()),
            Self::Conflict => {
                f.write_str("the secret is being deleted or recovered, which takes some 20 s, at worst 2 minutes: wait")
            }
            Self::SoftDeleted => {
                f.write_str("the name belongs to a deleted secret, which can be recovered or purged: nothing else")
            }
            Self::Taken => f.write_str(
                "the name is taken, or was purged less than a minute ago: delete and purge what is there, or wait",
            ),
            Self::Invalid(what) => what.fmt(f),
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
        match self {
            Self::Role(need) => write!(
                f,
                "the vault denies \"{}\" to your identity: give it the role \"{}\" on this vault (roles take some \
                 minutes to have effect)",
                need.name(),
                need.role()
            ),
            Self::Policy(need) => write!(
                f,
                "the vault denies \"{need}\" to your identity: add the secret permission \"{need}\" to its access policy",
                need = need.name()
            ),
            Self::Firewall => f.write_str("the vault's firewall shuts this machine out: allow its address there"),
            Self::PrivateLink => f.write_str(
                "the vault takes no calls from public networks: connect through its private endpoint, and see that \
                 this is approved and that the vault's name leads there",
            ),
            Self::Managed => f.write_str("the secret belongs to a certificate: change the certificate instead"),
            Self::Unsaid => f.write_str("the vault forbids this; it does so for a purge under purge protection"),
        }
    }
}

impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audience => f.write_str(
                "the vault refuses the token, which is for another resource: get one for https://vault.azure.net, or \
                 that of your cloud",
            ),
            Self::Tenant => f.write_str(
                "the vault refuses the token, which another tenant has issued: sign in to the tenant of the vault's \
                 subscription",
            ),
            Self::Key => f.write_str(
                "the vault refuses the token, whose signature it cannot check: if that lasts, the token is from \
                 another cloud or damaged",
            ),
            Self::Claims => f.write_str(
                "the vault wants a new sign-in, by a policy of conditional access: sign in again, from a place and \
                 device that it allows",
            ),
            Self::Clock(ahead) => write!(
                f,
                "the vault refuses the token, and this machine's clock is {} s {} the vault's: set the clock",
                ahead.unsigned_abs(),
                if *ahead > 0 { "ahead of" } else { "behind" }
            ),
            Self::Unsaid => f.write_str("the vault refuses the token: get a new one, for this vault's tenant"),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "a secret's value has to be UTF-8: encode other bytes, in base64 for instance",
            Self::ValueTooLong => "a secret's value has at most 25,600 characters",
            Self::ContentTypeTooLong => "a content type has at most 255 characters",
            Self::TooManyTags => "a secret has at most 15 tags",
            Self::TagLength => "a tag's name has 1 to 512 characters, its value at most 512",
            Self::Date => "a date has to lie between 1970 and 9999",
        })
    }
}
