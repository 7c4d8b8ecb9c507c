//! How a command failed, and with which exit code.

use std::fmt;
use std::io;

use crate::auth::AuthError;
use crate::config::UsageError;
use crate::emulator::EmulatorError;
use crate::fuse::{MountError, UnmountError};
use crate::vault::http::{HttpSetupError, RawCallError};
use crate::vault::{Denial, VaultError, VaultErrorKind};

/// A failed command: one line for the person, one number for the script.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

const OTHER: u8 = 1;
const USAGE: u8 = 2;
const AUTHENTICATION: u8 = 3;
const VAULT: u8 = 4;
const ALREADY_MOUNTED: u8 = 5;

impl Failure {
    /// The exit code: 1 other, 2 usage, 3 authentication, 4 vault not there or not reachable, 5 already
    /// mounted.
    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// Whether the person has been told why: by the process in the background, which shares the terminal.
    pub fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// The failure of the process in the background.
    pub(super) fn told(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }

    pub(super) fn other(message: String) -> Failure {
        Failure { code: OTHER, message }
    }

    /// A request that was written wrong.
    pub(super) fn unsendable(error: RawCallError) -> Failure {
        Failure { code: USAGE, message: error.to_string() }
    }

    /// What an answer by hand amounts to; `None` for a success.
    pub(super) fn of_status(status: u16) -> Option<Failure> {
        let code = match status {
            200..=299 => return None,
            401 | 403 => AUTHENTICATION,
            500..=599 => VAULT,
            _ => OTHER,
        };
        Some(Failure { code, message: format!("the vault answered HTTP {status}") })
    }

    pub(super) fn system(what: &str, error: &io::Error) -> Failure {
        Failure::other(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Failure {
        Failure { code: USAGE, message: error.to_string() }
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Failure {
        let ours_is_there =
            matches!(error, MountError::AlreadyMounted(_) | MountError::AnotherUsers { .. } | MountError::Silent(_));
        let code = if ours_is_there { ALREADY_MOUNTED } else { OTHER };
        Failure { code, message: error.to_string() }
    }
}

impl From<UnmountError> for Failure {
    fn from(error: UnmountError) -> Failure {
        Failure::other(error.to_string())
    }
}

impl From<HttpSetupError> for Failure {
    fn from(error: HttpSetupError) -> Failure {
        let code = if matches!(error, HttpSetupError::CaBundle { .. }) { USAGE } else { OTHER };
        Failure { code, message: error.to_string() }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Failure {
        Failure { code: AUTHENTICATION, message: error.to_string() }
    }
}

impl From<EmulatorError> for Failure {
    fn from(error: EmulatorError) -> Failure {
        Failure::other(error.to_string())
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Failure {
        let code = match error.kind {
            VaultErrorKind::Unauthenticated(_)
            | VaultErrorKind::NoToken(_)
            | VaultErrorKind::Denied(Denial::Role(_) | Denial::Policy(_)) => AUTHENTICATION,
            VaultErrorKind::Denied(Denial::Firewall | Denial::PrivateLink | Denial::Managed | Denial::Unsaid)
            | VaultErrorKind::Disabled
            | VaultErrorKind::Throttled(_)
            | VaultErrorKind::Conflict
            | VaultErrorKind::SoftDeleted
            | VaultErrorKind::Taken
            | VaultErrorKind::Invalid(_)
            | VaultErrorKind::Rejected(_)
            | VaultErrorKind::Server(_)
            | VaultErrorKind::Unreachable(_)
            | VaultErrorKind::TimedOut
            | VaultErrorKind::NotKeyVault(_) => VAULT,
            VaultErrorKind::Aborted => OTHER,
        };
        Failure { code, message: error.to_string() }
    }
}
