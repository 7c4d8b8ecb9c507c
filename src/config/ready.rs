//! When a mount counts as ready.

use std::time::Duration;

use super::UsageError;
use crate::cli::ReadyArgs;
pub use crate::cli::ReadyWhen;

/// What is waited for, and for how long.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// What is waited for.
    pub when: ReadyWhen,
    /// For how long at most.
    pub limit: Duration,
}

impl Readiness {
    pub(super) fn from_args(args: &ReadyArgs) -> Result<Readiness, UsageError> {
        if args.ready_timeout.is_zero() {
            return Err(UsageError::NoReadyTimeout);
        }
        Ok(Readiness { when: args.ready, limit: args.ready_timeout })
    }
}
