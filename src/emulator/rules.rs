//! The vault's state machine: what each operation does to the secrets, and when it is refused.
//! Pure: time and version identifiers come in as arguments; no HTTP, no JSON, no waiting.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::errors::Refusal;
use super::limits;
use super::model::{NewSecret, Phase, Secret, SecretName, State, UnixTime, Version, VersionId};
use super::options::Options;

/// A change to a version's attributes (REST: the body of Update Secret); `None` leaves a field be.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Up to 255 characters.
    pub content_type: Option<String>,
    /// Replaces the whole map.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether the version can be read.
    pub enabled: Option<bool>,
    /// `nbf` in seconds since 1970.
    pub not_before: Option<i64>,
    /// `exp` in seconds since 1970.
    pub expires_on: Option<i64>,
}

/// A version and the secret it belongs to: what most operations answer with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) secret: &'a Secret,
    pub(super) version: &'a Version,
}

impl<'a> Found<'a> {
    pub(super) fn latest(secret: &'a Secret) -> Option<Found<'a>> {
        let version = secret.versions.get(&secret.latest)?;
        Some(Found { secret, version })
    }
}

/// What an operation has changed, for who keeps the vault on a disk. Names are upper-cased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A secret's state or latest version.
    Secret(String),
    /// One version.
    Version(String, VersionId),
    /// The secret and all its versions are no more.
    Gone(String),
}

/// All secrets of one vault.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) options: Options,
    /// By upper-cased name, the order of lists.
    secrets: BTreeMap<String, Secret>,
    changes: Vec<Change>,
    next_sweep: UnixTime,
}

impl Vault {
    pub(super) fn new(options: Options) -> Self {
        Vault::with_secrets(options, Vec::new())
    }

    /// A vault that holds these already.
    pub(super) fn with_secrets(options: Options, secrets: Vec<Secret>) -> Self {
        let secrets = secrets.into_iter().map(|secret| (secret.name.key(), secret)).collect();
        let next_sweep = UnixTime::new(Duration::ZERO);
        Vault { options, secrets, changes: Vec::new(), next_sweep }
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A secret in whatever state, by its upper-cased name.
    pub(super) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// Whether it is an hour since somebody looked for what is past its scheduled purge.
    pub(super) fn is_sweep_due(&self, now: UnixTime) -> bool {
        now >= self.next_sweep
    }

    /// Destroys what is past its scheduled purge.
    pub(super) fn sweep(&mut self, now: UnixTime) {
        self.next_sweep = now.plus(Duration::from_secs(3600));
        let gone = |secret: &&Secret| secret.state.phase(now) == Phase::Gone;
        let gone: Vec<SecretName> = self.secrets.values().filter(gone).map(|secret| secret.name.clone()).collect();
        gone.iter().for_each(|name| self.forget_if_gone(name, now));
    }

    /// Makes a new version, which inherits nothing of the one before (REST: Set Secret).
    pub(super) fn set(
        &mut self,
        name: &SecretName,
        new: NewSecret,
        id: VersionId,
        now: UnixTime,
    ) -> Result<Found<'_>, Refusal> {
        limits::check_new(&new)?;
        match self.phase(name, now) {
            Phase::Live if self.is_managed(name) => return Err(Refusal::managed("set")),
            Phase::Live | Phase::Gone => {}
            Phase::BeingRecovered => return Err(Refusal::being_recovered(name.as_str())),
            Phase::BeingDeleted | Phase::BeingPurged => {
                return Err(Refusal::being_deleted(name.as_str()));
            }
            Phase::Deleted => return Err(Refusal::deleted_but_recoverable(name.as_str())),
        }
        self.add_version(name, new, id, now)
    }

    /// Makes a new version whatever stands there: how certificates and seeds write.
    pub(super) fn add_version(
        &mut self,
        name: &SecretName,
        new: NewSecret,
        id: VersionId,
        now: UnixTime,
    ) -> Result<Found<'_>, Refusal> {
        self.forget_if_gone(name, now);
        let previous = self.secrets.get(&name.key()).map(|secret| secret.latest);
        let previous = previous.filter(|_| new.managed);
        let (created, updated) = (now.seconds(), now.seconds());
        let version = Version { id, content: new, created, updated, previous };
        let secret = self.secrets.entry(name.key()).or_insert_with(|| Secret {
            name: name.clone(),
            versions: BTreeMap::new(),
            latest: id,
            state: State::Live,
        });
        secret.latest = id;
        secret.versions.insert(id, Box::new(version));
        self.changes.extend([Change::Secret(name.key()), Change::Version(name.key(), id)]);
        Found::latest(secret).ok_or_else(|| Refusal::not_found(name.as_str()))
    }

    /// One version with its value, the latest where none is named (REST: Get Secret).
    /// Expiry and not-before are not enforced: the service does not either.
    pub(super) fn get(
        &self,
        name: &SecretName,
        version: Option<VersionId>,
        now: UnixTime,
    ) -> Result<Found<'_>, Refusal> {
        let secret = self.live(name, now)?;
        let id = version.unwrap_or(secret.latest);
        let version = secret.versions.get(&id).ok_or_else(|| Refusal::not_found(name.as_str()))?;
        if !version.content.enabled {
            return Err(Refusal::disabled());
        }
        Ok(Found { secret, version })
    }

    /// Changes attributes of a version, the latest where none is named (REST: Update Secret).
    pub(super) fn update(
        &mut self,
        name: &SecretName,
        version: Option<VersionId>,
        update: Update,
        now: UnixTime,
    ) -> Result<Found<'_>, Refusal> {
        limits::check_content_type(update.content_type.as_deref())?;
        limits::check_tags(&update.tags)?;
        let not_found = || Refusal::not_found(name.as_str());
        let secret = self.writable(name, "update", now)?;
        let id = version.unwrap_or(secret.latest);
        let version = secret.versions.get_mut(&id).ok_or_else(not_found)?;
        version.apply(update);
        version.updated = now.seconds();
        self.changes.push(Change::Version(name.key(), id));
        let secret = self.live(name, now)?;
        let version = secret.versions.get(&id).ok_or_else(not_found)?;
        Ok(Found { secret, version })
    }

    /// Deletes a secret with all its versions, recoverably (REST: Delete Secret).
    pub(super) fn delete(&mut self, name: &SecretName, now: UnixTime) -> Result<Found<'_>, Refusal> {
        let settled = now.plus(self.options.deletion_delay);
        // Whole seconds, so that the two dates shown differ by exactly the retention.
        let second = UnixTime::new(Duration::from_secs(now.since_epoch().as_secs()));
        let purge = second.plus(self.options.retention());
        let secret = self.writable(name, "delete", now)?;
        secret.state = State::Deleted { at: now, settled, purge };
        self.changes.push(Change::Secret(name.key()));
        let found = self.secrets.get(&name.key()).and_then(Found::latest);
        found.ok_or_else(|| Refusal::not_found(name.as_str()))
    }

    /// A deleted secret, without its value (REST: Get Deleted Secret). Disabled ones are refused
    /// here as well.
    pub(super) fn get_deleted(&self, name: &SecretName, now: UnixTime) -> Result<Found<'_>, Refusal> {
        let found = match self.phase(name, now) {
            Phase::Deleted => self.secrets.get(&name.key()).and_then(Found::latest),
            _ => None,
        };
        let found = found.ok_or_else(|| Refusal::deleted_not_found(name.as_str()))?;
        if !found.version.content.enabled {
            return Err(Refusal::disabled());
        }
        Ok(found)
    }

    /// Destroys a deleted secret for good (REST: Purge Deleted Secret).
    pub(super) fn purge(&mut self, name: &SecretName, now: UnixTime) -> Result<(), Refusal> {
        match self.phase(name, now) {
            Phase::Deleted => {}
            Phase::BeingDeleted => return Err(Refusal::still_being_deleted()),
            Phase::BeingRecovered => return Err(Refusal::being_recovered(name.as_str())),
            Phase::Live | Phase::BeingPurged | Phase::Gone => {
                return Err(Refusal::not_found(name.as_str()));
            }
        }
        if self.options.purge_protection {
            return Err(Refusal::purge_protected());
        }
        let name_free = now.plus(self.options.purge_delay);
        if let Some(secret) = self.secrets.get_mut(&name.key()) {
            secret.versions.clear();
            secret.state = State::Purged { name_free };
        }
        self.changes.extend([Change::Gone(name.key()), Change::Secret(name.key())]);
        self.forget_if_gone(name, now);
        Ok(())
    }

    /// Brings a deleted secret back with all its versions (REST: Recover Deleted Secret).
    pub(super) fn recover(&mut self, name: &SecretName, now: UnixTime) -> Result<Found<'_>, Refusal> {
        match self.phase(name, now) {
            Phase::Deleted => {}
            Phase::Live => return Err(Refusal::exists_already(name.as_str())),
            Phase::BeingRecovered => return Err(Refusal::being_recovered(name.as_str())),
            Phase::BeingDeleted => return Err(Refusal::still_being_deleted()),
            Phase::BeingPurged | Phase::Gone => return Err(Refusal::not_found(name.as_str())),
        }
        let until = now.plus(self.options.recovery_delay);
        let not_found = || Refusal::not_found(name.as_str());
        let secret = self.secrets.get_mut(&name.key()).ok_or_else(not_found)?;
        secret.state = State::Recovering { until };
        self.changes.push(Change::Secret(name.key()));
        Found::latest(secret).ok_or_else(not_found)
    }

    /// A secret whole, to be backed up (REST: Backup Secret).
    pub(super) fn backup(&self, name: &SecretName, now: UnixTime) -> Result<&Secret, Refusal> {
        let secret = self.live(name, now)?;
        if self.is_managed(name) {
            return Err(Refusal::managed("backup"));
        }
        Ok(secret)
    }

    /// Puts a backed-up secret back under its own version identifiers and times (REST: Restore
    /// Secret). A taken name, whatever its state, is a conflict: `None`.
    pub(super) fn restore(&mut self, backup: Secret, now: UnixTime) -> Option<Found<'_>> {
        if self.phase(&backup.name, now) != Phase::Gone {
            return None;
        }
        self.forget_if_gone(&backup.name, now);
        let until = now.plus(self.options.recovery_delay);
        let key = backup.name.key();
        let secret = Secret { state: State::Recovering { until }, ..backup };
        self.changes.push(Change::Secret(key.clone()));
        self.changes.extend(secret.versions.keys().map(|id| Change::Version(key.clone(), *id)));
        Found::latest(self.secrets.entry(key).or_insert(secret))
    }

    /// Live secrets from the upper-cased name `from` on (REST: Get Secrets).
    pub(super) fn list(&self, from: &str, now: UnixTime) -> impl Iterator<Item = &Secret> {
        self.in_phase(from, Phase::Live, now)
    }

    /// Deleted secrets from the upper-cased name `from` on (REST: Get Deleted Secrets).
    pub(super) fn list_deleted(&self, from: &str, now: UnixTime) -> impl Iterator<Item = &Secret> {
        self.in_phase(from, Phase::Deleted, now)
    }

    /// Versions from `from` on, none for a secret that is not there (REST: Get Secret Versions).
    pub(super) fn list_versions(
        &self,
        name: &SecretName,
        from: VersionId,
        now: UnixTime,
    ) -> impl Iterator<Item = Found<'_>> {
        let secret = self.live(name, now).ok();
        secret.into_iter().flat_map(move |secret| {
            let versions = secret.versions.range(from..);
            versions.map(move |(_, version)| Found { secret, version })
        })
    }

    fn in_phase(&self, from: &str, phase: Phase, now: UnixTime) -> impl Iterator<Item = &Secret> {
        let from = (Bound::Included(from.to_owned()), Bound::Unbounded);
        let secrets = self.secrets.range(from).map(|(_, secret)| secret);
        secrets.filter(move |secret| secret.state.phase(now) == phase)
    }

    fn phase(&self, name: &SecretName, now: UnixTime) -> Phase {
        self.secrets.get(&name.key()).map_or(Phase::Gone, |secret| secret.state.phase(now))
    }

    fn live(&self, name: &SecretName, now: UnixTime) -> Result<&Secret, Refusal> {
        let secret = self.secrets.get(&name.key());
        let live = secret.filter(|secret| secret.state.phase(now) == Phase::Live);
        live.ok_or_else(|| Refusal::not_found(name.as_str()))
    }

    fn writable(&mut self, name: &SecretName, operation: &str, now: UnixTime) -> Result<&mut Secret, Refusal> {
        match self.phase(name, now) {
            Phase::Live if self.is_managed(name) => return Err(Refusal::managed(operation)),
            Phase::BeingRecovered => return Err(Refusal::being_recovered(name.as_str())),
            _ => {}
        }
        self.live(name, now)?;
        self.secrets.get_mut(&name.key()).ok_or_else(|| Refusal::not_found(name.as_str()))
    }

    fn is_managed(&self, name: &SecretName) -> bool {
        let latest = self.secrets.get(&name.key()).and_then(Found::latest);
        latest.is_some_and(|found| found.version.content.managed)
    }

    fn forget_if_gone(&mut self, name: &SecretName, now: UnixTime) {
        if self.phase(name, now) == Phase::Gone && self.secrets.remove(&name.key()).is_some() {
            self.changes.push(Change::Gone(name.key()));
        }
    }
}

impl Version {
    fn apply(&mut self, update: Update) {
        let content = &mut self.content;
        content.content_type = update.content_type.or(content.content_type.take());
        content.tags = update.tags.or(content.tags.take());
        content.enabled = update.enabled.unwrap_or(content.enabled);
        content.not_before = update.not_before.or(content.not_before);
        content.expires_on = update.expires_on.or(content.expires_on);
    }
}
