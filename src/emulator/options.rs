//! How a vault treats deletion and backups. The real service fixes some of it when a vault is made, and
//! so does a vault that is kept.

use std::time::Duration;

use super::access::AccessModel;

/// In days; also what the service takes where nobody asks.
const LONGEST_RETENTION: u32 = 90;

/// Settings of an embedded vault. The default: 90 days, no delays, no purge protection.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a deleted secret can be recovered, in days; the service takes 7 to 90. Fixed when the vault
    /// is made; `None` is 90 then, and what the vault has afterwards.
    pub retention_days: Option<u32>,
    /// Whether deleted secrets cannot be purged before their time. Once on, it stays on.
    pub purge_protection: bool,
    /// From DELETE until the secret shows among the deleted ones.
    pub deletion_delay: Duration,
    /// From recover or restore until the secret can be read.
    pub recovery_delay: Duration,
    /// From a purge until the name can be used again.
    pub purge_delay: Duration,
    /// The label backups are bound to: a vault of another geography cannot open them.
    pub geography: String,
    /// How the vault words that a token lacks a permission.
    pub access: AccessModel,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            retention_days: None,
            purge_protection: false,
            deletion_delay: Duration::ZERO,
            recovery_delay: Duration::ZERO,
            purge_delay: Duration::ZERO,
            geography: "local".to_owned(),
            access: AccessModel::Policy,
        }
    }
}

impl Options {
    /// The delays of the real service, by the medians of recorded traffic.
    pub fn realistic() -> Self {
        Options {
            deletion_delay: Duration::from_secs(17),
            recovery_delay: Duration::from_secs(19),
            purge_delay: Duration::from_secs(20),
            ..Options::default()
        }
    }

    /// `recoverableDays` of every secret of the vault.
    pub(super) fn recoverable_days(&self) -> u32 {
        self.retention_days.unwrap_or(LONGEST_RETENTION)
    }

    pub(super) fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.recoverable_days()) * 86_400)
    }

    /// The `recoveryLevel` of every secret of the vault.
    pub(super) fn recovery_level(&self) -> &'static str {
        match (self.recoverable_days() < LONGEST_RETENTION, self.purge_protection) {
            (true, false) => "CustomizedRecoverable+Purgeable",
            (true, true) => "CustomizedRecoverable",
            (false, false) => "Recoverable+Purgeable",
            (false, true) => "Recoverable",
        }
    }
}
