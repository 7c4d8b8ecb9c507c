//! A warning, once, for each version in use that is about to expire, and once more when it has.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tracing::warn;

use super::values::unix_now;
use crate::vault::{Secret, SecretName, VersionId};

/// How long before it expires a secret is warned about, in seconds.
const AHEAD: i64 = 7 * 24 * 3600;

/// Versions that have been warned about, at most.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Warning {
    Expires,
    Expired,
}

pub(super) struct Expiry(Mutex<LruCache<(SecretName, VersionId), Warning>>);

impl Default for Expiry {
    fn default() -> Self {
        Expiry(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Expiry {
    /// Warns about a version that is in use, if that has not been done.
    pub(super) fn look_at(&self, secret: &Secret) {
        let Some((expires_on, now)) = secret.properties.expires_on.zip(unix_now()) else { return };
        let (name, version) = (&secret.name, &secret.version);
        match self.warning(secret, expires_on - now) {
            Some(Warning::Expires) => {
                let days = (expires_on - now) / (24 * 3600);
                warn!(%name, %version, "the secret expires in {days} days: set a new version before");
            }
            Some(Warning::Expired) => {
                warn!(%name, %version, "the secret has expired, and is still read: set a new version");
            }
            None => {}
        }
    }

    fn warning(&self, secret: &Secret, seconds_left: i64) -> Option<Warning> {
        let warning = match seconds_left {
            ..=0 => Warning::Expired,
            1..=AHEAD => Warning::Expires,
            _ => return None,
        };
        let told = self.0.lock().put((secret.name.clone(), secret.version), warning);
        (told != Some(warning)).then_some(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Vault;
    use crate::vault::double::{Double, name};

    #[tokio::test]
    async fn each_version_is_warned_about_once_before_it_expires_and_once_after() {
        let secret = Double::with(&[("db", "x")]).get(&name("db"), None).await.unwrap().unwrap();
        let expiry = Expiry::default();
        let warnings = [AHEAD + 1, AHEAD, 60, 0, -60].map(|left| expiry.warning(&secret, left));
        assert_eq!(warnings, [None, Some(Warning::Expires), None, Some(Warning::Expired), None]);
    }
}
