//! A token bucket that yields: where the vault says that it is asked too much, it fills half as fast as
//! it was emptied before, and finds back in time.

use std::time::Duration;

use tokio::time::Instant;

/// The service counts calls in windows of so many seconds.
const WINDOW: f64 = 10.0;
/// Each window without a refusal, the rate grows by this, up to the full one: were it more, a fleet that was
/// refused would be so again and again.
const GROWTH: f64 = 1.5;
/// One refusal slows down by this at most: it may be the fault of others, and who has asked but once is not
/// to wait for ten seconds.
const STEEPEST: f64 = 16.0;
/// Calls a second, at least: whoever is first in line is served within the usual deadline.
const SLOWEST: f64 = 0.1;
/// A wait that stands for one without an end.
const FOR_EVER: Duration = Duration::from_secs(300);

/// Calls that may be made now, and how many more come with time.
pub(super) struct Bucket {
    size: f64,
    full_rate: f64,
    /// Tokens a second.
    rate: f64,
    /// Less than none where calls wait for their turn.
    tokens: f64,
    /// Tokens taken within a window, older ones counting less and less.
    lately: f64,
    counted: Instant,
}

impl Bucket {
    /// One that is full, and gains so many tokens a second.
    pub(super) fn full(size: f64, rate: f64) -> Bucket {
        Bucket { size, full_rate: rate, rate, tokens: size, lately: 0.0, counted: Instant::now() }
    }

    /// Takes a token; the time from which on it may be used.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        self.refill(now);
        self.tokens -= 1.0;
        self.lately += 1.0;
        if self.tokens >= 0.0 {
            return now;
        }
        now + Duration::try_from_secs_f64(-self.tokens / self.rate).unwrap_or(FOR_EVER)
    }

    /// Takes back a token that was not used.
    pub(super) fn give_back(&mut self) {
        self.tokens += 1.0;
        self.lately -= 1.0;
    }

    /// Keeps one token; whoever waits is to take another.
    pub(super) fn empty(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = 1.0;
    }

    /// A token was one too many for the vault.
    pub(super) fn slow_down(&mut self, now: Instant) {
        self.refill(now);
        let halved = self.rate.min(self.lately / WINDOW) / 2.0;
        self.rate = halved.max(self.rate / STEEPEST).max(SLOWEST.min(self.full_rate));
    }

    fn refill(&mut self, now: Instant) {
        let passed = (now - self.counted).as_secs_f64();
        self.counted = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.size);
        self.lately *= (-passed / WINDOW).exp();
        self.rate = (self.rate * GROWTH.powf(passed / WINDOW)).min(self.full_rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Calls that get through in so many seconds, one after the other.
    fn calls(bucket: &mut Bucket, now: &mut Instant, seconds: u32) -> usize {
        let end = *now + seconds * SECOND;
        let mut calls = 0;
        loop {
            let turn = bucket.take(*now);
            if turn > end {
                bucket.give_back();
                *now = end;
                return calls;
            }
            (*now, calls) = (turn, calls + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_refused_asks_half_as_often_and_finds_back_in_time() {
        let mut now = Instant::now();
        let mut bucket = Bucket::full(1_000.0, 100.0);
        calls(&mut bucket, &mut now, 60);
        bucket.empty(now);
        bucket.slow_down(now);
        let slow = calls(&mut bucket, &mut now, 1);
        assert!((45..60).contains(&slow), "{slow}");
        calls(&mut bucket, &mut now, 17);
        let back = calls(&mut bucket, &mut now, 1);
        assert!((95..105).contains(&back), "{back}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_what_was_asked_that_is_halved_and_not_what_might_have_been() {
        let mut now = Instant::now();
        let mut bucket = Bucket::full(1_000.0, 100.0);
        for calls_a_second in [6, 2, 1] {
            for _ in 0..20 {
                bucket.take(now);
            }
            bucket.empty(now);
            bucket.slow_down(now);
            let passed = calls(&mut bucket, &mut now, 1);
            assert!((calls_a_second..=calls_a_second + 2).contains(&passed), "{calls_a_second}: {passed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_first_in_line_is_never_ten_seconds_away() {
        let mut now = Instant::now();
        let mut bucket = Bucket::full(1_000.0, 100.0);
        for _ in 0..20 {
            assert_eq!(bucket.take(now), now + Duration::ZERO);
            bucket.empty(now);
            bucket.slow_down(now);
            now += SECOND;
        }
        bucket.take(now);
        assert!(bucket.take(now) <= now + 10 * SECOND);
    }
}
