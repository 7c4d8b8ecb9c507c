//! The signals that a process heeds.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Signals, from the moment that this exists: none of them ends the process any more by itself.
pub(super) struct Signals {
    interrupt: Signal,
    term: Signal,
    quit: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM, SIGQUIT, Ctrl-C: end.
    End,
    /// SIGHUP: forget what is cached.
    Forget,
}

impl Signals {
    pub(super) fn new() -> Result<Signals, Failure> {
        let heed = |kind| signal(kind).map_err(|error| Failure::system("cannot heed signals", &error));
        Ok(Signals {
            interrupt: heed(SignalKind::interrupt())?,
            term: heed(SignalKind::terminate())?,
            quit: heed(SignalKind::quit())?,
            hangup: heed(SignalKind::hangup())?,
        })
    }

    /// The next order.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::End,
            _ = self.term.recv() => Order::End,
            _ = self.quit.recv() => Order::End,
            _ = self.hangup.recv() => Order::Forget,
        }
    }

    /// Waits for an order to end: there is nothing to forget yet.
    pub(super) async fn end(&mut self) {
        while self.next().await != Order::End {}
    }
}
