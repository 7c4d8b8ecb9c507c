//! How a vault treats deletion and backups. The real service fixes these when a vault is made.

use std::time::Duration;

use super::access::AccessModel;

/// Settings of an embedded vault. The default: 90 days, no delays, no purge protection.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a deleted secret can be recovered, in days; the service takes 7 to 90.
    pub retention_days: u32,
    /// Whether deleted secrets cannot be purged before their time.
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
            retention_days: 90,
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

    pub(super) fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    /// The `recoveryLevel` of every secret of the vault.
    pub(super) fn recovery_level(&self) -> &'static str {
        match (self.retention_days < 90, self.purge_protection) {
            (true, false) => "CustomizedRecoverable+Purgeable",
            (true, true) => "CustomizedRecoverable",
            (false, false) => "Recoverable+Purgeable",
            (false, true) => "Recoverable",
        }
    }
}
