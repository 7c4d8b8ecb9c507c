//! The answers to gets that are remembered: for how long they count, and when they leave.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::change::{self, Change, ChangeKind};
use super::{CacheSettings, Key};
use crate::vault::{Found, Item, Known, Properties, Secret, SecretName, VersionId};

/// A secret that was there is believed to be gone when the vault says so twice, this far apart.
pub(super) const DOUBT: Duration = Duration::from_secs(2);

/// `updated` counts whole seconds. Whatever was asked this much later than an `updated` was first seen
/// has all that happened in that second.
const SECOND_HAS_PASSED: Duration = Duration::from_secs(2);

/// An `updated` this far back on our own clock is of a second that has passed, even if the clocks of
/// vault and machine do not agree.
const LONG_AGO: i64 = 3600;

/// Answers to gets, least recently used out first. A value is wiped when it leaves, unless an open
/// file still shows it. The newest version serves those who ask for it by its number, too.
pub(super) struct Values {
    settings: CacheSettings,
    table: Mutex<Table>,
}

struct Table {
    entries: LruCache<Key, Entry>,
    bytes: usize,
}

struct Entry {
    found: Found,
    /// When the vault was asked what it then confirmed.
    confirmed: Instant,
    /// When the vault was last asked for the value itself.
    got: Instant,
    /// What was asked before says nothing about it.
    since: Instant,
    fresh_until: Instant,
    /// The vault is not to be asked again before: it has just been.
    quiet_until: Instant,
    /// When the vault first said that it is gone.
    doubted: Option<Instant>,
    /// When its `updated` was first seen.
    seen: Instant,
    /// Whether an equal `updated` in a listing proves that nothing has changed.
    settled: bool,
    /// When somebody last used it.
    used: Option<Instant>,
    /// Whether that was since it was last confirmed.
    unconfirmed: bool,
}

/// What is remembered of a get.
pub(super) enum Recall {
    /// It counts.
    Fresh(Known<Found>),
    /// It no longer counts, but is better than an outage.
    Stale {
        secret: Arc<Secret>,
        /// How much longer the vault is not to be asked.
        quiet_for: Duration,
    },
    Nothing,
}

/// What an answer of the vault has come to.
pub(super) struct Landed {
    /// What those who wait are told.
    pub(super) answer: Found,
    pub(super) change: Option<ChangeKind>,
    /// It is to be asked again after [`DOUBT`], to be sure.
    pub(super) doubtful: bool,
}

impl Landed {
    fn plain(found: &Found) -> Landed {
        Landed { answer: found.clone(), change: None, doubtful: false }
    }

    fn instead(secret: &Arc<Secret>) -> Landed {
        Landed { answer: Ok(Some(Arc::clone(secret))), change: None, doubtful: false }
    }
}

impl Values {
    pub(super) fn new(settings: &CacheSettings) -> Values {
        Values { settings: settings.clone(), table: Mutex::new(Table { entries: LruCache::unbounded(), bytes: 0 }) }
    }

    /// What is remembered; `use_it` tells whether somebody reads it, which makes it hot.
    pub(super) fn recall(&self, key: &Key, use_it: bool) -> Recall {
        let now = Instant::now();
        let mut table = self.table.lock();
        let entry = if use_it { table.serving(key, now) } else { table.peeking(key, now) };
        let Some(entry) = entry else { return Recall::Nothing };
        if use_it {
            (entry.used, entry.unconfirmed) = (Some(now), true);
        }
        let fresh_for = entry.fresh_until.saturating_duration_since(now);
        if !fresh_for.is_zero() {
            return Recall::Fresh(Known { answer: entry.found.clone(), fresh_for });
        }
        match &entry.found {
            Ok(Some(secret)) if self.settings.outlasts(now.saturating_duration_since(entry.fresh_until)) => {
                Recall::Stale {
                    secret: Arc::clone(secret),
                    quiet_for: entry.quiet_until.saturating_duration_since(now),
                }
            }
            Ok(_) | Err(_) => Recall::Nothing,
        }
    }

    /// The answer, if it is fresh.
    pub(super) fn fresh(&self, key: &Key) -> Option<Known<Found>> {
        match self.recall(key, false) {
            Recall::Fresh(known) => Some(known),
            Recall::Stale { .. } | Recall::Nothing => None,
        }
    }

    /// How long ago the vault was asked what it then confirmed.
    pub(super) fn age(&self, key: &Key) -> Option<Duration> {
        let now = Instant::now();
        let mut table = self.table.lock();
        table.serving(key, now).map(|entry| now.saturating_duration_since(entry.confirmed))
    }

    /// Keeps what the vault answered to what was asked at a given time, unless the secret was changed
    /// since; `is_outdated` says so, under the lock under which changes are noted here. An outage is no
    /// answer: what is remembered answers in its stead.
    pub(super) fn remember(
        &self,
        key: &Key,
        found: &Found,
        asked: Instant,
        use_it: bool,
        is_outdated: impl FnOnce() -> bool,
    ) -> Landed {
        let now = Instant::now();
        let mut table = self.table.lock();
        let outdated = is_outdated();
        match found {
            Err(error) if !error.is_definite() => self.outage(&mut table, key, found, now),
            _ if outdated => Landed::plain(found),
            Ok(Some(secret)) => self.keep(&mut table, key, secret, asked, use_it),
            Ok(None) => self.absent(&mut table, key, found, now),
            Err(_) => self.replace(&mut table, key, found, now),
        }
    }

    fn outage(&self, table: &mut Table, key: &Key, found: &Found, now: Instant) -> Landed {
        let Some(entry) = table.serving(key, now) else { return Landed::plain(found) };
        let Ok(Some(secret)) = &entry.found else { return Landed::plain(found) };
        entry.quiet_until = now + self.settings.pause();
        if self.settings.outlasts(now.saturating_duration_since(entry.fresh_until)) {
            Landed::instead(secret)
        } else {
            Landed::plain(found)
        }
    }

    fn keep(&self, table: &mut Table, key: &Key, secret: &Arc<Secret>, asked: Instant, used: bool) -> Landed {
        let now = Instant::now();
        let held = table.entries.peek(key);
        let last_used = held.and_then(|held| held.used);
        let old = held.and_then(Entry::secret).map(Arc::clone);
        let same_second = |old: &Arc<Secret>| old.properties.updated_on == secret.properties.updated_on;
        let seen = held.filter(|_| old.as_ref().is_some_and(same_second)).map_or(now, |held| held.seen);
        let settled = asked >= seen + SECOND_HAS_PASSED
            || unix_now().is_some_and(|now| secret.properties.updated_on < now - LONG_AGO);
        let change = match (&old, key.1) {
            (Some(old), None) => change::between(old, secret),
            (Some(_) | None, _) => None,
        };
        // One copy of the bytes is enough, and readers may still have the old one.
        let secret = match old {
            Some(old) if change.is_none() && old.version == secret.version && old.properties == secret.properties => {
                old
            }
            Some(_) | None => Arc::clone(secret),
        };
        let entry = Entry {
            found: Ok(Some(Arc::clone(&secret))),
            confirmed: asked,
            got: asked,
            since: now,
            fresh_until: self.fresh_until(now, &secret.properties),
            quiet_until: now,
            doubted: None,
            seen,
            settled,
            used: if used { Some(now) } else { last_used },
            unconfirmed: used,
        };
        table.put(key.clone(), entry, &self.settings);
        Landed { change, ..Landed::instead(&secret) }
    }

    /// The vault says that there is none. Where there was one, it is asked again before it is believed.
    fn absent(&self, table: &mut Table, key: &Key, found: &Found, now: Instant) -> Landed {
        let strict = self.settings.stale_if_error.is_zero();
        let Some(entry) = table.entries.peek_mut(key).filter(|entry| !strict && entry.secret().is_some()) else {
            return self.replace(table, key, found, now);
        };
        let first = *entry.doubted.get_or_insert(now);
        if now >= first + DOUBT {
            return self.replace(table, key, found, now);
        }
        entry.fresh_until = first + DOUBT;
        match &entry.found {
            Ok(Some(secret)) => Landed { doubtful: first == now, ..Landed::instead(secret) },
            Ok(None) | Err(_) => Landed::plain(found),
        }
    }

    /// A definite "no", remembered for a moment; what it was about is dropped.
    fn replace(&self, table: &mut Table, key: &Key, found: &Found, now: Instant) -> Landed {
        let was_there = table.entries.peek(key).is_some_and(|entry| entry.secret().is_some());
        let entry = Entry {
            found: found.clone(),
            confirmed: now,
            got: now,
            since: now,
            fresh_until: now + self.settings.refusal_ttl(),
            quiet_until: now,
            doubted: None,
            seen: now,
            settled: false,
            used: None,
            unconfirmed: false,
        };
        table.put(key.clone(), entry, &self.settings);
        Landed { change: (was_there && key.1.is_none()).then_some(ChangeKind::Gone), ..Landed::plain(found) }
    }

    /// A secret that expires is asked for again when it does: there may be a newer one.
    fn fresh_until(&self, now: Instant, properties: &Properties) -> Instant {
        let until = now + self.settings.ttl;
        let left = properties.expires_on.zip(unix_now()).map(|(expires, now)| expires - now);
        match left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0) {
            Some(left) if left < self.settings.ttl.as_secs() => now + Duration::from_secs(left),
            Some(_) | None => until,
        }
    }

    /// What a listing's item, asked for at a given time, proves to be as it was counts as confirmed.
    pub(super) fn confirm(&self, item: &Item, asked: Instant) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.peek_mut(&(item.name.clone(), None)) else { return };
        let Some(secret) = entry.secret() else { return };
        if !entry.settled || entry.since >= asked || !is_same(&secret.properties, &item.properties) {
            return;
        }
        let fresh_until = self.fresh_until(asked, &item.properties);
        entry.confirmed = entry.confirmed.max(asked);
        entry.since = entry.confirmed;
        entry.fresh_until = entry.fresh_until.max(fresh_until);
        (entry.quiet_until, entry.doubted, entry.unconfirmed) = (asked, None, false);
    }

    /// Values that somebody has used, since they were last confirmed or lately, and that will no longer be
    /// fresh then, the one that was got the longest time ago first.
    pub(super) fn due(&self, then: Instant) -> Vec<Key> {
        let now = Instant::now();
        let table = self.table.lock();
        let is_hot = |entry: &Entry| {
            let lately = |used: Instant| now.saturating_duration_since(used) < self.settings.keep_fresh;
            entry.unconfirmed || entry.used.is_some_and(lately)
        };
        let due = |(_, entry): &(&Key, &Entry)| is_hot(entry) && entry.secret().is_some() && entry.fresh_until < then;
        let mut due: Vec<_> = table.entries.iter().filter(due).map(|(key, entry)| (entry.got, key.clone())).collect();
        due.sort_by_key(|(got, _)| *got);
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// The vault takes longer than a reader should wait: it is not asked again for a while.
    pub(super) fn put_off(&self, key: &Key) {
        let now = Instant::now();
        if let Some(entry) = self.table.lock().serving(key, now) {
            entry.quiet_until = now + self.settings.pause();
        }
    }

    /// This mount has made a new version. `is_last` tells whether that was the last word.
    pub(super) fn made(&self, secret: &Arc<Secret>, asked: Instant, is_last: bool) -> Option<ChangeKind> {
        let key = (secret.name.clone(), None);
        let mut table = self.table.lock();
        let landed = self.keep(&mut table, &key, secret, asked, true);
        if !is_last && let Some(entry) = table.entries.peek_mut(&key) {
            entry.fresh_until = entry.since;
        }
        landed.change
    }

    /// This mount has deleted the secret.
    pub(super) fn deleted(&self, name: &SecretName) -> Option<ChangeKind> {
        let mut table = self.table.lock();
        let was_there = table.entries.peek(&(name.clone(), None)).is_some_and(|entry| entry.secret().is_some());
        table.forget(name);
        self.replace(&mut table, &(name.clone(), None), &Ok(None), Instant::now());
        was_there.then_some(ChangeKind::Gone)
    }

    /// What is remembered of a secret may have become untrue: it serves in an outage alone.
    pub(super) fn expire(&self, name: &SecretName) {
        let now = Instant::now();
        let mut table = self.table.lock();
        table.entries.iter_mut().filter(|((of, _), _)| of == name).for_each(|(_, entry)| entry.expire(now));
    }

    /// The same of all secrets.
    pub(super) fn expire_all(&self) {
        let now = Instant::now();
        self.table.lock().entries.iter_mut().for_each(|(_, entry)| entry.expire(now));
    }

    /// Forgets all versions of a secret.
    pub(super) fn forget(&self, name: &SecretName) {
        self.table.lock().forget(name);
    }

    pub(super) fn clear(&self) {
        let mut table = self.table.lock();
        table.entries.clear();
        table.bytes = 0;
    }

    /// Drops what is of no use any more.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut table = self.table.lock();
        let is_useless = |(_, entry): &(&Key, &Entry)| {
            let expired_for = now.saturating_duration_since(entry.fresh_until);
            now >= entry.fresh_until && (entry.secret().is_none() || !self.settings.outlasts(expired_for))
        };
        let useless: Vec<Key> = table.entries.iter().filter(is_useless).map(|(key, _)| key.clone()).collect();
        useless.iter().for_each(|key| table.pop(key));
    }

    /// The number of the newest version, if it is known now.
    pub(super) fn newest(&self, name: &SecretName) -> Option<VersionId> {
        match self.fresh(&(name.clone(), None))?.answer {
            Ok(Some(secret)) => Some(secret.version),
            Ok(None) | Err(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let table = self.table.lock();
        (table.entries.len(), table.bytes)
    }
}

impl Entry {
    fn expire(&mut self, now: Instant) {
        (self.fresh_until, self.quiet_until, self.since) = (self.fresh_until.min(now), now, now);
    }

    fn secret(&self) -> Option<&Arc<Secret>> {
        self.found.as_ref().ok()?.as_ref()
    }

    /// Bytes of the value.
    fn weight(&self) -> usize {
        self.secret().map_or(0, |secret| secret.value.len())
    }
}

impl Table {
    /// The key of the entry that answers: the asked one, or the newest version's if it has that number and
    /// the own entry is missing or old.
    fn answering<'a>(&self, key: &'a Key, now: Instant) -> Cow<'a, Key> {
        if let (name, Some(version)) = key {
            let own = self.entries.peek(key).map(|entry| entry.fresh_until);
            let newest = (name.clone(), None);
            let is_it = |entry: &Entry| entry.secret().is_some_and(|secret| secret.version == *version);
            if own.is_none_or(|fresh_until| fresh_until <= now)
                && self.entries.peek(&newest).is_some_and(|entry| is_it(entry) && Some(entry.fresh_until) >= own)
            {
                return Cow::Owned(newest);
            }
        }
        Cow::Borrowed(key)
    }

    /// The entry that answers. It counts as used now.
    fn serving(&mut self, key: &Key, now: Instant) -> Option<&mut Entry> {
        let answering = self.answering(key, now);
        self.entries.get_mut(&*answering)
    }

    /// The same for who looks at many: it does not count as used.
    fn peeking(&mut self, key: &Key, now: Instant) -> Option<&mut Entry> {
        let answering = self.answering(key, now);
        self.entries.peek_mut(&*answering)
    }

    fn put(&mut self, key: Key, entry: Entry, limits: &CacheSettings) {
        self.bytes += entry.weight();
        if let Some(old) = self.entries.put(key, entry) {
            self.bytes -= old.weight();
        }
        while self.entries.len() > limits.entries || self.bytes > limits.bytes {
            let Some((_, oldest)) = self.entries.pop_lru() else { return };
            self.bytes -= oldest.weight();
        }
    }

    fn pop(&mut self, key: &Key) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.weight();
        }
    }

    fn forget(&mut self, name: &SecretName) {
        let keys: Vec<Key> = self.entries.iter().map(|(key, _)| key).filter(|(of, _)| of == name).cloned().collect();
        keys.iter().for_each(|key| self.pop(key));
    }
}

/// Whether a listing describes the version that is remembered, as far as listings go.
fn is_same(remembered: &Properties, listed: &Properties) -> bool {
    let of = |properties: &Properties| {
        (properties.created_on, properties.updated_on, properties.enabled, properties.expires_on, properties.not_before)
    };
    of(remembered) == of(listed) && remembered.content_type == listed.content_type && remembered.tags == listed.tags
}

/// Seconds since 1970 on this machine's clock, as good as it is.
pub(super) fn unix_now() -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(now.as_secs()).ok()
}

/// The change of a secret, if there is one.
pub(super) fn named(name: &SecretName, kind: Option<ChangeKind>) -> Option<Change> {
    kind.map(|kind| Change { name: name.clone(), kind })
}
