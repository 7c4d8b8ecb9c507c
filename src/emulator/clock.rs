//! The vault's clock: the system's, moved forward or stopped on demand. The only place of the
//! emulator that asks what time it is.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::model::UnixTime;

/// A clock tests can move. Deletion, recovery, scheduled purges and tokens go by it.
#[derive(Debug)]
pub struct Clock(Mutex<Reading>);

#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The system's time plus this.
    Running(Duration),
    Stopped(UnixTime),
}

impl Clock {
    pub(super) fn system() -> Self {
        Clock(Mutex::new(Reading::Running(Duration::ZERO)))
    }

    /// The vault's time.
    pub fn now(&self) -> UnixTime {
        self.0.lock().now()
    }

    /// Moves the clock forward; a stopped one stays stopped.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.0.lock();
        *reading = match *reading {
            Reading::Running(ahead) => Reading::Running(ahead.saturating_add(by)),
            Reading::Stopped(at) => Reading::Stopped(at.plus(by)),
        };
    }

    /// Stops the clock at a time, which may lie in the past.
    pub fn stop_at(&self, time: UnixTime) {
        *self.0.lock() = Reading::Stopped(time);
    }

    /// Lets the clock run again, with the system's time.
    pub fn run(&self) {
        *self.0.lock() = Reading::Running(Duration::ZERO);
    }
}

impl Reading {
    fn now(self) -> UnixTime {
        match self {
            // Before 1970 there is no vault: such a system clock reads as 1970.
            Reading::Running(ahead) => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                UnixTime::new(since.unwrap_or_default()).plus(ahead)
            }
            Reading::Stopped(at) => at,
        }
    }
}
