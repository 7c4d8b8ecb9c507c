//! Waits between tries: doubled each time, and scattered, so that many who failed together do not
//! come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How waits grow.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after so many failures, 1 or more: between half and the whole of the doubled one.
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        jittered(doubled.min(self.longest))
    }
}

/// A wait between half of this and the whole of it.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + 0.5 * chance())
}

/// Between 0 and 1. The standard library seeds its hash tables at random, which is chance enough here.
fn chance() -> f64 {
    let bits = RandomState::new().hash_one(());
    f64::from(u32::try_from(bits >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(16) };
        for (failures, whole) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 16), (u32::MAX, 16)] {
            let wait = backoff.after(failures);
            let whole = Duration::from_secs(whole);
            assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
        }
        let waits: std::collections::BTreeSet<_> = (0..50).map(|_| backoff.after(5)).collect();
        assert!(waits.len() > 40);
    }
}
