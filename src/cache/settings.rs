//! How long answers count, and how much is kept.

use std::time::Duration;

/// How long answers count as fresh, how long they outlive an outage, and how many are kept.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// For how long a value or a listing is served without asking the vault.
    pub ttl: Duration,
    /// For how long "there is none", and a refusal, are remembered.
    pub negative_ttl: Duration,
    /// For how long beyond the ttl an answer is served while the vault cannot be asked; zero for not at
    /// all, [`CacheSettings::FOREVER`] without a limit.
    pub stale_if_error: Duration,
    /// For how long after it was last read a value is kept fresh in the background: at least once more,
    /// [`CacheSettings::FOREVER`] as long as it is remembered.
    pub keep_fresh: Duration,
    /// At most this many answers to gets, least recently used out first.
    pub entries: usize,
    /// At most this many bytes of values, names and properties, least recently used out first.
    pub bytes: usize,
}

impl CacheSettings {
    /// No limit: to how old an answer may become in an outage, to how long it is kept fresh.
    pub const FOREVER: Duration = Duration::MAX;

    /// Whether something is of use in an outage, so long after it ceased to be fresh.
    pub(super) fn outlasts(&self, expired_for: Duration) -> bool {
        !self.stale_if_error.is_zero() && expired_for <= self.stale_if_error
    }

    /// How long a "no" is remembered.
    pub(super) fn refusal_ttl(&self) -> Duration {
        self.negative_ttl.min(self.ttl)
    }

    /// How long the vault is left alone once it had trouble: a minute, or the ttl where that is less, so
    /// that its recovery is seen within one ttl.
    pub(super) fn pause(&self) -> Duration {
        self.ttl.clamp(Duration::from_secs(1), Duration::from_secs(60))
    }
}

impl Default for CacheSettings {
    fn default() -> CacheSettings {
        CacheSettings {
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(24 * 3600),
            keep_fresh: Duration::ZERO,
            entries: 10_000,
            bytes: 8 << 20,
        }
    }
}
