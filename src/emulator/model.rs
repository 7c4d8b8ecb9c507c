//! What the vault keeps: names, versions, values, times and the state of each secret.
//! Pure data with redacted `Debug`; no rule of the service, no JSON, no clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Tags of a version. The service keeps "never sent" (`None`) and "sent empty" apart.
pub(super) type Tags = Option<BTreeMap<String, String>>;

/// A secret's name, 1–127 of `[0-9A-Za-z-]`, in the case it was first written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct SecretName(String);

impl SecretName {
    /// The service's limit on a name, in characters.
    const LONGEST: usize = 127;

    pub(super) fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = (1..=Self::LONGEST).contains(&text.len());
        (fits && text.bytes().all(legal)).then(|| SecretName(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Names compare and sort without regard to case; lists come in this order.
    pub(super) fn key(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

impl TryFrom<String> for SecretName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        SecretName::parse(&text).ok_or("not a secret's name")
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

/// A version's identifier: 32 lower-case hexadecimal characters on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct VersionId([u8; 16]);

impl VersionId {
    pub(super) const LOWEST: VersionId = VersionId([0; 16]);

    pub(super) fn new(bytes: [u8; 16]) -> Self {
        VersionId(bytes)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok()?;
        plain.then(|| VersionId(number.to_be_bytes()))
    }
}

impl TryFrom<String> for VersionId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        VersionId::parse(&text).ok_or("not a version's identifier")
    }
}

impl From<VersionId> for String {
    fn from(id: VersionId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of a secret, wiped when the last owner drops it. `Debug` shows nothing of it.
#[derive(Clone, Default)]
pub struct SecretValue(Arc<Zeroizing<String>>);

impl SecretValue {
    /// The one way to the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        SecretValue(Arc::new(Zeroizing::new(text)))
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A point in time: the span since 1970-01-01T00:00:00Z. The wire knows whole seconds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixTime(Duration);

impl UnixTime {
    /// The time `since_epoch` after 1970-01-01T00:00:00Z.
    pub fn new(since_epoch: Duration) -> Self {
        UnixTime(since_epoch)
    }

    /// Whole seconds since 1970, as the REST API writes times.
    pub fn seconds(self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX)
    }

    /// This time moved forward by `span`.
    pub fn plus(self, span: Duration) -> Self {
        UnixTime(self.0.saturating_add(span))
    }

    /// The span since 1970-01-01T00:00:00Z.
    pub fn since_epoch(self) -> Duration {
        self.0
    }
}

/// What a new version is made of, for [`Emulator::put`](super::Emulator::put) (REST: the body of
/// Set Secret).
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// The text, up to 25,600 characters; empty is legal.
    pub value: SecretValue,
    /// A free description of the value, up to 255 characters.
    pub content_type: Option<String>,
    /// Up to 15 pairs of up to 512 characters each; `Some` of an empty map is echoed as `{}`.
    pub tags: Option<BTreeMap<String, String>>,
    /// A disabled version cannot be read.
    pub enabled: bool,
    /// `nbf` in seconds since 1970; informational, the service does not enforce it.
    pub not_before: Option<i64>,
    /// `exp` in seconds since 1970; informational, the service does not enforce it.
    pub expires_on: Option<i64>,
    /// Whether a certificate stands behind it: it then shows `managed` and `kid`, and clients
    /// cannot write it.
    pub managed: bool,
}

impl Default for NewSecret {
    fn default() -> Self {
        NewSecret {
            value: SecretValue::default(),
            content_type: None,
            tags: None,
            enabled: true,
            not_before: None,
            expires_on: None,
            managed: false,
        }
    }
}

impl From<&str> for NewSecret {
    fn from(text: &str) -> Self {
        NewSecret { value: text.into(), ..NewSecret::default() }
    }
}

impl From<String> for NewSecret {
    fn from(text: String) -> Self {
        NewSecret { value: text.into(), ..NewSecret::default() }
    }
}

/// One version of a secret.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: VersionId,
    pub(super) content: NewSecret,
    /// Whole seconds since 1970, like `updated`.
    pub(super) created: i64,
    pub(super) updated: i64,
    /// The version a certificate's renewal replaced.
    pub(super) previous: Option<VersionId>,
}

/// A secret with all its versions.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) name: SecretName,
    /// In the order lists show them: by identifier, not by time. Boxed, since a map makes room for eleven
    /// at once, and most secrets have one.
    pub(super) versions: BTreeMap<VersionId, Box<Version>>,
    /// Two versions can share a second, so the newest is remembered rather than computed.
    pub(super) latest: VersionId,
    pub(super) state: State,
}

/// Where a secret stands in its life, with the times that move it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Live,
    /// Recovered or restored, readable from `until` on.
    Recovering {
        until: UnixTime,
    },
    Deleted {
        at: UnixTime,
        /// Until then the deletion still runs.
        settled: UnixTime,
        purge: UnixTime,
    },
    /// Gone with all versions; only its name is still taken.
    Purged {
        name_free: UnixTime,
    },
}

/// What a secret looks like to a client at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live,
    BeingRecovered,
    BeingDeleted,
    Deleted,
    BeingPurged,
    Gone,
}

impl State {
    pub(super) fn phase(self, now: UnixTime) -> Phase {
        match self {
            State::Live => Phase::Live,
            State::Recovering { until } if now < until => Phase::BeingRecovered,
            State::Recovering { .. } => Phase::Live,
            State::Deleted { purge, .. } if now >= purge => Phase::Gone,
            State::Deleted { settled, .. } if now < settled => Phase::BeingDeleted,
            State::Deleted { .. } => Phase::Deleted,
            State::Purged { name_free } if now < name_free => Phase::BeingPurged,
            State::Purged { .. } => Phase::Gone,
        }
    }
}
