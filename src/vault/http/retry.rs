//! When a call is sent again: the one table.
//!
//! | what happened | read, update, delete, recover, purge, backup | set, restore, others by hand |
//! |---|---|---|
//! | no connection was made | 3 tries, 0.2 s apart | 3 tries, 0.2 s apart |
//! | no connection within the time limit, a wrong name or certificate | not again | not again |
//! | the answer did not come, or not whole | 3 tries, 0.2 s apart | not again; a set: see below |
//! | 408, 500, 502, 503, 504 | 4 tries, 0.4 s apart | not again; a set: see below |
//! | 429 | within the deadline, after `Retry-After`, or 1, 2, 4, 8, 16 s and up to twice that | the same |
//! | 401 `AKV10046` | 4 tries, 0.3 s apart | the same |
//! | 401 otherwise | once, with another token; once more where it came with a claims challenge | the same |
//! | anything else | not again | not again |
//!
//! Waits double with each try, and are between half and the whole of that. A wait that would outlast
//! the call's deadline is not begun: the call ends with what it has. Each failure counts alone, so that
//! a call has at most 4 tries whatever goes wrong, 429 aside. Nothing below this repeats a request,
//! save the connection pool, for one that has not left.
//!
//! A set whose answer was lost may have made a version. Before it is sent again, at most twice, the
//! newest version is got, 0.4 s later; if it is what was to be set, that is the answer. If it cannot be got, the set
//! is not sent again. A delete, recover or purge that was sent again counts as done where the vault now
//! says that there is nothing left to do.

use std::time::Duration;

use super::operation::Repeat;
use super::transport::{Answer, Loss, Sent};
use crate::auth::Backoff;

const AT_ONCE: Duration = Duration::from_millis(200);
const TROUBLE: Duration = Duration::from_millis(400);
const UNRESOLVED: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(4);

/// The wait before a set is sent again, after so many that may have been lost.
pub(super) fn between_sets(lost: u32) -> Duration {
    Backoff { first: TROUBLE, longest: LONGEST }.after(lost)
}

/// Why a call is sent again, or might have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has not left this machine, or reached nobody.
    Unsent,
    /// It may have been carried out.
    Lost,
    /// The vault has trouble; the call may have been carried out.
    Trouble,
    /// The vault could not check the token's signature.
    Unresolved,
    /// Too many requests.
    Throttled,
}

impl Reason {
    /// Why this outcome would be worth another try; `None` if it is final.
    pub(super) fn of(sent: &Sent) -> Option<Reason> {
        match sent {
            Ok(answer) => Reason::of_answer(answer),
            Err((Loss::Unsent, _)) => Some(Reason::Unsent),
            Err((Loss::Lost, _)) => Some(Reason::Lost),
            Err((Loss::Final, _)) => None,
        }
    }

    fn of_answer(answer: &Answer) -> Option<Reason> {
        match answer.status {
            408 | 500 | 502 | 503 | 504 => Some(Reason::Trouble),
            429 => Some(Reason::Throttled),
            401 if super::failure::is_unresolved_key(answer) => Some(Reason::Unresolved),
            _ => None,
        }
    }

    /// Whether the vault may have done what it was asked.
    pub(super) fn may_be_done(self) -> bool {
        matches!(self, Reason::Lost | Reason::Trouble)
    }

    /// How long to wait before the next try, after so many failures of this call; `None` if there is to
    /// be none. A 429 has no such wait of its own: it binds every call.
    pub(super) fn wait(self, repeat: Repeat, failures: u32) -> Option<Duration> {
        if self.may_be_done() && repeat == Repeat::Harmful {
            return None;
        }
        let (first, tries) = match self {
            Reason::Unsent | Reason::Lost => (AT_ONCE, 3),
            Reason::Trouble => (TROUBLE, 4),
            Reason::Unresolved => (UNRESOLVED, 4),
            Reason::Throttled => return Some(Duration::ZERO),
        };
        (failures < tries).then(|| Backoff { first, longest: LONGEST }.after(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tries there are when the same thing happens again and again.
    fn tries(reason: Reason, repeat: Repeat) -> u32 {
        (1..).take_while(|failures| reason.wait(repeat, *failures).is_some()).count() as u32 + 1
    }

    #[test]
    fn the_table_holds() {
        for (reason, harmless, harmful) in
            [(Reason::Unsent, 3, 3), (Reason::Lost, 3, 1), (Reason::Trouble, 4, 1), (Reason::Unresolved, 4, 4)]
        {
            assert_eq!(tries(reason, Repeat::Harmless), harmless, "{reason:?}");
            assert_eq!(tries(reason, Repeat::Harmful), harmful, "{reason:?}");
        }
        assert_eq!(Reason::Throttled.wait(Repeat::Harmful, 100), Some(Duration::ZERO));
    }

    #[test]
    fn three_failed_tries_wait_less_than_a_deadline() {
        let whole: Duration = (1..4).map(|failed| Reason::Trouble.wait(Repeat::Harmless, failed).unwrap()).sum();
        assert!(whole >= Duration::from_millis(1400) && whole <= Duration::from_millis(2800), "{whole:?}");
    }
}
