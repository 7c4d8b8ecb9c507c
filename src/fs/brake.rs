//! The brake: nobody means to delete a whole vault in a minute.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::FsError;

/// What the limit is per.
const PERIOD: Duration = Duration::from_secs(60);

/// Deletions of the last minute.
#[derive(Default)]
pub(super) struct Brake(Mutex<VecDeque<Instant>>);

impl Brake {
    /// Counts a deletion that is about to be asked for.
    ///
    /// # Errors
    /// When there have been as many as the limit allows.
    pub(super) fn count(&self, limit: usize) -> Result<(), FsError> {
        self.check(limit, 0)?;
        self.0.lock().push_back(Instant::now());
        Ok(())
    }

    /// Whether another one would be let through, after so many that are still to come.
    ///
    /// # Errors
    /// When there have been as many as the limit allows.
    pub(super) fn check(&self, limit: usize, to_come: usize) -> Result<(), FsError> {
        let mut deletions = self.0.lock();
        while deletions.front().is_some_and(|deletion| deletion.elapsed() >= PERIOD) {
            deletions.pop_front();
        }
        if deletions.len() + to_come < limit {
            return Ok(());
        }
        Err(FsError::NotPermitted(
            format!(
                "{limit} secrets have been deleted through this mount within a minute, which is its limit: if that was \
                 meant, wait a minute or mount with a higher --delete-limit; if not, `akvfs undelete DIR --since 1h`"
            )
            .into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_per_minute() {
        let brake = Brake::default();
        for _ in 0..3 {
            brake.count(3).unwrap();
        }
        assert_eq!(brake.count(3).unwrap_err().errno(), libc::EPERM);
        tokio::time::advance(PERIOD).await;
        brake.count(3).unwrap();
    }
}
