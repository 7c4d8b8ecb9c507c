//! Leaves a vault alone that has failed again and again, and sends one call at a time to see whether it
//! is back.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::Backoff;
use crate::vault::VaultError;

/// So many requests without one success in between: less than this is one call's bad luck.
const FAILURES: u32 = 8;
const OPEN: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(30) };

/// Counts failures; shut while they are few.
pub(super) struct Breaker(Mutex<State>);

enum State {
    /// Requests pass; so many have failed in a row.
    Shut(u32),
    /// None passes before this time; then one.
    Open { until: Instant, opened: u32, last: VaultError },
    /// One request is under way; no other passes.
    Probing { opened: u32, last: VaultError },
}

/// Leave to send one request; what becomes of it has to be told.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    told: bool,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker(Mutex::new(State::Shut(0)))
    }

    /// Lets a request pass.
    ///
    /// # Errors
    /// The vault's last failure, where it is being left alone.
    pub(super) fn pass(&self) -> Result<Permit<'_>, VaultError> {
        let mut state = self.0.lock();
        match &*state {
            State::Shut(_) => {}
            State::Open { until, opened, last } if *until <= Instant::now() => {
                *state = State::Probing { opened: *opened, last: last.clone() };
            }
            State::Open { last, .. } | State::Probing { last, .. } => return Err(last.clone()),
        }
        Ok(Permit { breaker: self, told: false })
    }
}

impl Permit<'_> {
    /// Something answered, whatever it said.
    pub(super) fn succeeded(mut self) {
        self.told = true;
        *self.breaker.0.lock() = State::Shut(0);
    }

    /// Nothing answered, or the vault is in trouble.
    pub(super) fn failed(mut self, error: &VaultError) {
        self.told = true;
        let mut state = self.breaker.0.lock();
        let open =
            |opened: u32| State::Open { until: Instant::now() + OPEN.after(opened), opened, last: error.clone() };
        match &*state {
            State::Shut(failures) if failures + 1 < FAILURES => *state = State::Shut(failures + 1),
            State::Shut(_) => *state = open(1),
            State::Probing { opened, .. } => *state = open(opened.saturating_add(1)),
            State::Open { .. } => {} // it set out before the others failed
        }
    }
}

/// A request that was given up, or never got as far as the vault, tells nothing: the next may try.
impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let mut state = self.breaker.0.lock();
        if let State::Probing { opened, last } = &*state {
            *state = State::Open { until: Instant::now(), opened: *opened, last: last.clone() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::VaultErrorKind;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.pass().ok().unwrap().failed(&VaultError::of(VaultErrorKind::Server(503)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_failures_or_a_success_among_them_stop_nobody() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES - 1);
        breaker.pass().ok().unwrap().succeeded();
        fail(&breaker, FAILURES - 1);
        assert!(breaker.pass().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_stop_everybody_and_then_one_at_a_time_may_try() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        assert_eq!(breaker.pass().err().unwrap().kind, VaultErrorKind::Server(503));
        tokio::time::advance(Duration::from_secs(2)).await;
        let probe = breaker.pass().ok().unwrap();
        assert!(breaker.pass().is_err(), "one probe at a time");
        drop(probe);
        let probe = breaker.pass().ok().unwrap();
        probe.failed(&VaultError::of(VaultErrorKind::Server(500)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.pass().err().unwrap().kind, VaultErrorKind::Server(500));
        tokio::time::advance(Duration::from_secs(3)).await;
        breaker.pass().ok().unwrap().succeeded();
        fail(&breaker, FAILURES - 1);
        assert!(breaker.pass().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_stays_away_is_tried_every_half_minute() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        let (start, mut probes) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(600) {
            tokio::time::advance(Duration::from_secs(1)).await;
            if let Ok(probe) = breaker.pass() {
                probes += 1;
                probe.failed(&VaultError::of(VaultErrorKind::Server(503)));
            }
        }
        assert!((20..=45).contains(&probes), "{probes}");
    }
}
