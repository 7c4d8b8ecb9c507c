//! One call from beginning to end: the vault's limits, tries and waits, all within one deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::HttpSettings;
use super::breaker::Breaker;
use super::failure;
use super::retry::Reason;
use super::session::Session;
use super::throttle::Throttle;
use super::transport::{Answer, Call, Loss, Sent, Transport};
use crate::auth::TokenProvider;
use crate::vault::{VaultError, VaultErrorKind};

/// The way to one vault.
pub(super) struct Pipeline {
    session: Session,
    throttle: Throttle,
    breaker: Breaker,
    deadline: Duration,
}

impl Pipeline {
    pub(super) fn new(transport: Transport, tokens: TokenProvider, settings: &HttpSettings) -> Pipeline {
        Pipeline {
            session: Session::new(transport, tokens, settings.verify_resource),
            throttle: Throttle::new(f64::from(settings.max_rps)),
            breaker: Breaker::new(),
            deadline: settings.deadline,
        }
    }

    pub(super) fn transport(&self) -> &Transport {
        self.session.transport()
    }

    /// When a call that begins now has to end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// The answer to a call, of whatever status, after as many tries as the table allows.
    pub(super) async fn exchange(&self, call: &Call) -> Result<Answer, VaultError> {
        self.exchange_until(call, self.deadline()).await
    }

    pub(super) async fn exchange_until(&self, call: &Call, deadline: Instant) -> Result<Answer, VaultError> {
        let mut failures = 0;
        let mut repeated = false;
        loop {
            let sent = self.one_try(call, deadline).await;
            let Some(reason) = Reason::of(&sent) else { return ended(sent, repeated) };
            failures += 1;
            let Some(wait) = reason.wait(call.operation.repeat(), failures) else { return ended(sent, repeated) };
            if Instant::now() + wait >= deadline {
                return ended(sent, repeated);
            }
            repeated |= reason.may_be_done();
            debug!(operation = ?call.operation, ?reason, failures, ?wait, "trying again");
            sleep(wait).await;
        }
    }

    async fn one_try(&self, call: &Call, deadline: Instant) -> Sent {
        let final_ = |error| (Loss::Final, error);
        self.throttle.pass(call.operation, deadline).await.map_err(final_)?;
        let permit = self.breaker.pass().map_err(final_)?;
        let began = Instant::now();
        let timed_out = || Err((Loss::Final, VaultError::of(VaultErrorKind::TimedOut)));
        let sent = timeout_at(deadline, self.session.send(call, deadline)).await.unwrap_or_else(|_| timed_out());
        match &sent {
            Ok(answer) if answer.status == 429 => {
                permit.succeeded();
                self.throttle.refused(call.operation, began, answer.retry_after());
            }
            Ok(answer) if matches!(answer.status, 408 | 500 | 502 | 503 | 504) => permit.failed(&failure::of(answer)),
            Ok(_) => {
                permit.succeeded();
                self.throttle.accepted();
            }
            Err((_, error)) if is_outage(&error.kind) => permit.failed(error),
            Err(_) => {} // no token, or no Key Vault: nothing is known of the vault
        }
        sent
    }
}

fn is_outage(kind: &VaultErrorKind) -> bool {
    matches!(kind, VaultErrorKind::Unreachable(_) | VaultErrorKind::TimedOut)
}

fn ended(sent: Sent, repeated: bool) -> Result<Answer, VaultError> {
    sent.map(|answer| Answer { repeated, ..answer }).map_err(|(_, error)| error)
}
