//! Whether the vault is worth asking. While it has trouble, what is remembered is served as it is, and
//! one request in a while finds out whether the trouble is over.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Key;
use crate::vault::{Denial, VaultError, VaultErrorKind};

/// Once the vault is back, readers are served from memory for this long, while the background asks for
/// what they read: with fewer requests than they would make.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// What was asked: a get, or `None` for a listing.
type Asked = Option<Key>;

/// The mount's one opinion of its vault.
pub(super) struct Outage {
    pause: Duration,
    state: Mutex<State>,
}

enum State {
    Calm,
    /// One thing failed in a way that may be its own fault.
    Suspicious(Asked),
    /// The vault has trouble.
    Down {
        /// When the next request that may find out otherwise is due.
        next_try: Instant,
        /// What failed the last time.
        failed: Asked,
        /// Something else has been asked for since.
        others_wait: bool,
    },
    /// It is back, and the background catches up.
    Recovering {
        until: Instant,
    },
}

impl Outage {
    /// One that tries again after `pause`.
    pub(super) fn new(pause: Duration) -> Outage {
        Outage { pause, state: Mutex::new(State::Calm) }
    }

    /// How much longer the vault should not be asked for something that is remembered.
    pub(super) fn quiet_for(&self, asked: Option<&Key>) -> Duration {
        let now = Instant::now();
        match &mut *self.state.lock() {
            State::Calm | State::Suspicious(_) => Duration::ZERO,
            State::Recovering { until } => until.saturating_duration_since(now),
            State::Down { next_try, failed, others_wait } => {
                *others_wait |= failed.as_ref() != asked;
                next_try.saturating_duration_since(now)
            }
        }
    }

    /// Whether the vault may be asked for something that is remembered. In an outage that is granted
    /// once in a while, and to what failed the last time after all others, since it may fail on its own.
    pub(super) fn may_ask(&self, asked: &Asked) -> bool {
        let now = Instant::now();
        match &mut *self.state.lock() {
            State::Calm | State::Suspicious(_) => true,
            State::Recovering { until } => now >= *until,
            State::Down { next_try, failed, others_wait } => {
                *others_wait |= failed != asked;
                let after_others = if *others_wait && failed == asked { self.pause / 60 } else { Duration::ZERO };
                let granted = now >= *next_try + after_others;
                if granted {
                    (*next_try, *others_wait) = (now + self.pause, false);
                }
                granted
            }
        }
    }

    /// The same for the background, which goes on while readers are served from memory.
    pub(super) fn may_catch_up(&self, asked: &Asked) -> bool {
        matches!(*self.state.lock(), State::Recovering { .. }) || self.may_ask(asked)
    }

    /// Whether the vault has trouble, as far as is known.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.state.lock(), State::Down { .. })
    }

    /// The vault had trouble. It is down at once if the trouble cannot be of one secret alone, and
    /// otherwise when the next thing that is asked has trouble too.
    pub(super) fn trouble(&self, asked: Asked, error: &VaultError) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let down = match &mut *state {
            State::Down { failed, .. } => {
                *failed = asked;
                return;
            }
            State::Recovering { until } if now < *until => true,
            State::Suspicious(before) if *before != asked => true,
            State::Calm | State::Recovering { .. } | State::Suspicious(_) => is_of_the_whole_vault(error),
        };
        *state = match down {
            true => State::Down { next_try: now + self.pause, failed: asked, others_wait: false },
            false => State::Suspicious(asked),
        };
    }

    /// The vault has answered. True if it had been down until now.
    pub(super) fn answered(&self) -> bool {
        let mut state = self.state.lock();
        match &*state {
            State::Calm | State::Recovering { .. } => false,
            State::Suspicious(_) => {
                *state = State::Calm;
                false
            }
            State::Down { .. } => {
                *state = State::Recovering { until: Instant::now() + CATCHING_UP };
                true
            }
        }
    }

    /// The background has caught up.
    pub(super) fn caught_up(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Recovering { .. }) {
            *state = State::Calm;
        }
    }
}

fn is_of_the_whole_vault(error: &VaultError) -> bool {
    match error.kind {
        VaultErrorKind::Unauthenticated(_)
        | VaultErrorKind::NoToken(_)
        | VaultErrorKind::Throttled(_)
        | VaultErrorKind::Unreachable(_)
        | VaultErrorKind::Denied(Denial::Firewall | Denial::PrivateLink) => true,
        VaultErrorKind::Disabled
        | VaultErrorKind::Denied(Denial::Role(_) | Denial::Policy(_) | Denial::Managed | Denial::Unsaid)
        | VaultErrorKind::Conflict
        | VaultErrorKind::SoftDeleted
        | VaultErrorKind::Taken
        | VaultErrorKind::Invalid(_)
        | VaultErrorKind::Rejected(_)
        | VaultErrorKind::Server(_)
        | VaultErrorKind::TimedOut
        | VaultErrorKind::NotKeyVault(_)
        | VaultErrorKind::Aborted => false,
    }
}
