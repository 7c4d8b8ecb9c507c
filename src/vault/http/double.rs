//! What a call passes on its way to a real vault, for tests in front of one that is not: the limits, the
//! pause after a 429, and other tries until the deadline.

use tokio::time::{Duration, Instant};

use super::operation::Operation;
use super::throttle::Throttle;
use crate::vault::{VaultError, VaultErrorKind};

/// A mount's own gate, as [`HttpVault`](super::HttpVault) has it by default.
pub(crate) struct Gate {
    throttle: Throttle,
    deadline: Duration,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { throttle: Throttle::new(100.0), deadline: Duration::from_secs(10) }
    }

    /// The outcome of a get or a page, as of the last try within the deadline.
    pub(crate) async fn ask<T, Trying: Future<Output = Result<T, VaultError>>>(
        &self,
        one_try: impl Fn() -> Trying,
    ) -> Result<T, VaultError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            self.throttle.pass(Operation::Get, deadline).await?;
            let sent = Instant::now();
            let outcome = one_try().await;
            match outcome.as_ref().map_err(|error| &error.kind) {
                Err(VaultErrorKind::Throttled(retry_after)) => {
                    self.throttle.refused(Operation::Get, sent, *retry_after)
                }
                Ok(_) | Err(_) => {
                    self.throttle.accepted();
                    return outcome;
                }
            }
        }
    }
}
