//! The values that are remembered, and for how long they count.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CacheSettings, Key};
use crate::vault::{Found, Known, Secret, SecretName};

/// Answers to gets, least recently used out first. A value is wiped when it leaves, unless an open
/// file still shows it.
pub(super) struct Values {
    ttl: Duration,
    negative_ttl: Duration,
    entries: Mutex<LruCache<Key, Entry>>,
}

struct Entry {
    found: Found,
    fresh_until: Instant,
}

impl Values {
    pub(super) fn new(settings: &CacheSettings) -> Values {
        let capacity = NonZeroUsize::new(settings.entries).unwrap_or(NonZeroUsize::MIN);
        Values { ttl: settings.ttl, negative_ttl: settings.negative_ttl, entries: Mutex::new(LruCache::new(capacity)) }
    }

    /// The answer, if it is fresh.
    pub(super) fn fresh(&self, key: &Key) -> Option<Known<Found>> {
        let mut entries = self.entries.lock();
        let entry = entries.get(key)?;
        let fresh_for = entry.fresh_until.saturating_duration_since(Instant::now());
        (!fresh_for.is_zero()).then(|| Known { answer: entry.found.clone(), fresh_for })
    }

    /// Keeps an answer. The newest version is kept under its number too; an outage is no answer, and
    /// not kept.
    pub(super) fn remember(&self, key: &Key, found: &Found) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        match found {
            Ok(Some(secret)) => {
                let entry = || Entry { found: Ok(Some(Arc::clone(secret))), fresh_until: now + self.ttl };
                entries.put(key.clone(), entry());
                if key.1.is_none() {
                    entries.put(numbered(secret), entry());
                }
            }
            Err(error) if !error.is_definite() => {}
            Ok(None) | Err(_) => {
                let fresh_until = now + self.negative_ttl.min(self.ttl);
                entries.put(key.clone(), Entry { found: found.clone(), fresh_until });
            }
        }
    }

    /// Forgets all versions of a secret.
    pub(super) fn forget(&self, name: &SecretName) {
        let mut entries = self.entries.lock();
        let keys: Vec<Key> = entries.iter().map(|(key, _)| key).filter(|(of, _)| of == name).cloned().collect();
        keys.iter().for_each(|key| drop(entries.pop(key)));
    }

    pub(super) fn clear(&self) {
        self.entries.lock().clear();
    }
}

fn numbered(secret: &Secret) -> Key {
    (secret.name.clone(), Some(secret.version))
}
