//! How fast the vault is asked: token buckets that stay below its limits, and a pause for everybody
//! where it asks for one.
//!
//! The service takes 4,000 calls in 10 s, of which 300 may make a secret's version. All calls share a
//! bucket of 1,000 that refills at the given rate; sets have one of 60 that refills at 20 a second. A
//! 429 empties both, and nobody asks before the pause is over. It also tells that others ask too: the
//! bucket that the call was taken from refills more slowly for a while. A call that would wait beyond
//! its deadline is refused at once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::bucket::Bucket;
use super::operation::Operation;
use crate::auth::Backoff;
use crate::vault::{VaultError, VaultErrorKind};

const BURST: f64 = 1_000.0;
const SET_BURST: f64 = 60.0;
const SETS_PER_SECOND: f64 = 20.0;
/// For a 429 without `Retry-After`: at least 1, 2, 4, 8, 16 s, as the service's documentation advises.
const PAUSE: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(32) };
/// A longer `Retry-After` is taken for a mistake.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The gate that every request passes.
pub(super) struct Throttle {
    calls: Mutex<Bucket>,
    sets: Mutex<Bucket>,
    pause: Mutex<Pause>,
}

struct Pause {
    until: Instant,
    in_a_row: u32,
}

impl Throttle {
    /// A gate that lets so many requests a second through in the long run.
    pub(super) fn new(per_second: f64) -> Throttle {
        Throttle {
            calls: Mutex::new(Bucket::full(BURST, per_second)),
            sets: Mutex::new(Bucket::full(SET_BURST, SETS_PER_SECOND.min(per_second))),
            pause: Mutex::new(Pause { until: Instant::now(), in_a_row: 0 }),
        }
    }

    /// Waits for this request's turn.
    ///
    /// # Errors
    /// [`Throttled`](VaultErrorKind::Throttled), at once, where that would be after the deadline.
    pub(super) async fn pass(&self, operation: Operation, deadline: Instant) -> Result<(), VaultError> {
        loop {
            let pause = self.end_of_pause(deadline).await?;
            let bucket = self.bucket(operation);
            let now = Instant::now();
            let turn = bucket.lock().take(now);
            if turn > now && turn > deadline {
                bucket.lock().give_back();
                return Err(too_many(turn));
            }
            if turn > now {
                sleep_until(turn).await; // a timer takes a millisecond even for what is due
            }
            if self.pause.lock().until == pause {
                return Ok(());
            }
            // Another call was refused meanwhile: the turns that were given before count no more.
        }
    }

    /// Waits until the pause is over, which can grow meanwhile; its end.
    async fn end_of_pause(&self, deadline: Instant) -> Result<Instant, VaultError> {
        loop {
            let until = self.pause.lock().until;
            if until <= Instant::now() {
                return Ok(until);
            }
            if until > deadline {
                return Err(too_many(until));
            }
            sleep_until(until).await;
        }
    }

    fn bucket(&self, operation: Operation) -> &Mutex<Bucket> {
        if operation == Operation::Set { &self.sets } else { &self.calls }
    }

    /// The vault has answered a request sent at this time with 429.
    pub(super) fn refused(&self, operation: Operation, sent: Instant, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut pause = self.pause.lock();
        // Requests that were under way together are one refusal, not many.
        if sent >= pause.until {
            pause.in_a_row = pause.in_a_row.saturating_add(1);
            self.bucket(operation).lock().slow_down(now);
        } else if retry_after.is_none() {
            return;
        }
        let wait = retry_after.map_or_else(|| PAUSE.after(pause.in_a_row), |asked| asked.min(LONGEST_PAUSE));
        pause.until = pause.until.max(now + wait);
        for bucket in [&self.calls, &self.sets] {
            bucket.lock().empty(now);
        }
    }

    /// The vault has answered a request with something else.
    pub(super) fn accepted(&self) {
        let mut pause = self.pause.lock();
        pause.in_a_row = 0;
    }
}

fn too_many(until: Instant) -> VaultError {
    VaultError::of(VaultErrorKind::Throttled(Some(until - Instant::now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn soon() -> Instant {
        Instant::now() + 10 * SECOND
    }

    /// How long it takes until so many calls have passed.
    async fn elapsed(throttle: &Throttle, operation: Operation, calls: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..calls {
            throttle.pass(operation, soon()).await.unwrap();
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let throttle = Throttle::new(100.0);
        assert_eq!(elapsed(&throttle, Operation::Get, 1_000).await, Duration::ZERO);
        let after = elapsed(&throttle, Operation::Get, 500).await;
        assert!(after > SECOND * 49 / 10 && after < SECOND * 52 / 10, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn sets_have_a_bucket_of_their_own() {
        let throttle = Throttle::new(100.0);
        assert_eq!(elapsed(&throttle, Operation::Set, 60).await, Duration::ZERO);
        let after = elapsed(&throttle, Operation::Set, 40).await;
        assert!(after > SECOND * 19 / 10 && after < SECOND * 22 / 10, "{after:?}");
        assert_eq!(elapsed(&throttle, Operation::Get, 1_000).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_beyond_the_deadline_is_refused_at_once() {
        let throttle = Throttle::new(1.0);
        elapsed(&throttle, Operation::Get, 1_000).await;
        let start = Instant::now();
        let calls = (0..11).map(|_| throttle.pass(Operation::Get, start + 10 * SECOND));
        let passed = futures_util::future::join_all(calls).await;
        assert_eq!(passed.iter().filter(|pass| pass.is_ok()).count(), 10);
        assert!(throttle.pass(Operation::Get, Instant::now()).await.is_err());
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_late_was_not_throttled() {
        let throttle = Throttle::new(1.0);
        let deadline = Instant::now();
        sleep_until(deadline + SECOND).await;
        assert!(throttle.pass(Operation::Get, deadline).await.is_ok(), "what is sent then times out");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_stops_everybody() {
        let throttle = Throttle::new(100.0);
        throttle.refused(Operation::Get, Instant::now(), Some(7 * SECOND));
        assert_eq!(elapsed(&throttle, Operation::Set, 1).await.as_secs(), 7);
        throttle.refused(Operation::Get, Instant::now(), Some(11 * SECOND));
        let start = Instant::now();
        assert!(throttle.pass(Operation::Get, soon()).await.is_err());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_slows_down_what_was_refused_and_who_waits_waits_anew() {
        let throttle = Throttle::new(100.0);
        elapsed(&throttle, Operation::Get, 1_000).await;
        let start = Instant::now();
        let waiting = (0..100).map(|_| throttle.pass(Operation::Get, start + 20 * SECOND));
        let refuse = async { throttle.refused(Operation::Get, start, Some(SECOND / 2)) };
        let (passed, ()) = futures_util::future::join(futures_util::future::join_all(waiting), refuse).await;
        assert!(passed.iter().all(Result::is_ok));
        // At full speed it would be one second.
        assert!(start.elapsed() > SECOND * 18 / 10 && start.elapsed() < SECOND * 22 / 10, "{:?}", start.elapsed());
        let sets = elapsed(&throttle, Operation::Set, 41).await;
        assert!(sets < SECOND * 21 / 10, "{sets:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_without_a_time_double_the_pause_until_one_is_accepted() {
        let throttle = Throttle::new(100.0);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let sent = Instant::now();
            for _ in 0..64 {
                throttle.refused(Operation::Get, sent, None); // requests that were under way together
            }
            let until = throttle.pause.lock().until;
            waits.push(until - sent);
            tokio::time::sleep_until(until).await;
        }
        for (wait, whole) in waits.iter().zip([2, 4, 8, 16, 32, 32]) {
            assert!(*wait >= SECOND * whole / 2 && *wait <= SECOND * whole, "{waits:?}");
        }
        throttle.accepted();
        throttle.refused(Operation::Get, Instant::now(), None);
        assert!(throttle.pause.lock().until - Instant::now() <= 2 * SECOND);
    }
}
