//! Spinning through a burst of requests instead of sleeping between them.
//!
//! A loop that sleeps pays a wake-up for each request, which across the CPUs of a virtual machine is
//! most of what a request costs. fuser's loop repeats on EAGAIN, so it spins as long as `O_NONBLOCK` is
//! set on its connection (fcntl(2)). That takes a CPU, so it is set in a burst only: when requests
//! follow each other closely, and until they stop. A single read now and then sets nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use parking_lot::Mutex;

/// The pace is looked at once in so many requests.
const STEP: u64 = 16;
/// Two steps in a row that take less than this each are a burst.
const BURST: Duration = Duration::from_millis(2);
/// A burst is over when nothing has come for so long.
const QUIET: Duration = Duration::from_micros(100);
/// A step that took no less than one without spinning shows that spinning is in somebody's way: the
/// caller may be waiting for the very CPU. It is tried again so much later ...
const HOLD_OFF: Duration = Duration::from_millis(10);
/// ... doubled each time up to this.
const HOLD_OFF_MAX: Duration = Duration::from_secs(1);

/// Whether there is a CPU to spare: on the only one, the loop would spin in the way of the program that
/// it waits for. Heeds the process's affinity and its cgroup's share.
pub(super) fn is_worthwhile() -> bool {
    thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1)
}

/// Watches the requests of one connection, and lets its loop spin.
#[derive(Clone)]
pub(super) struct Spin(Arc<State>);

struct State {
    connection: OwnedFd,
    requests: AtomicU64,
    pace: Mutex<Pace>,
    /// The thread that ends a burst.
    governor: OnceLock<Thread>,
}

struct Pace {
    spinning: bool,
    /// When the last step ended.
    marked: Instant,
    /// What the last step without spinning took.
    sleeping: Duration,
    hold_off: Duration,
    not_before: Instant,
}

impl Spin {
    pub(super) fn new(connection: OwnedFd) -> io::Result<Spin> {
        let now = Instant::now();
        let pace = Pace { spinning: false, marked: now, sleeping: BURST, hold_off: Duration::ZERO, not_before: now };
        let state = Arc::new(State {
            connection,
            requests: AtomicU64::new(0),
            pace: Mutex::new(pace),
            governor: OnceLock::new(),
        });
        let governed = Arc::clone(&state);
        let governor = thread::Builder::new().name("spin".to_owned()).spawn(move || governed.end_bursts())?;
        let _ = state.governor.set(governor.thread().clone()); // set once, here
        Ok(Spin(state))
    }

    /// A request has come.
    pub(super) fn request(&self) {
        if self.0.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(STEP) {
            self.0.step();
        }
    }
}

impl State {
    fn step(&self) {
        let now = Instant::now();
        let mut pace = self.pace.lock();
        let took = now - std::mem::replace(&mut pace.marked, now);
        if !pace.spinning {
            let before = std::mem::replace(&mut pace.sleeping, took);
            if before.max(took) < BURST && now >= pace.not_before {
                self.set_spinning(&mut pace, true);
                if let Some(governor) = self.governor.get() {
                    governor.unpark();
                }
            }
        } else if took < pace.sleeping {
            pace.hold_off = Duration::ZERO;
        } else {
            pace.hold_off = (pace.hold_off * 2).clamp(HOLD_OFF, HOLD_OFF_MAX);
            pace.not_before = now + pace.hold_off;
            self.set_spinning(&mut pace, false);
        }
    }

    fn end_bursts(&self) {
        loop {
            while !self.pace.lock().spinning {
                thread::park();
            }
            let seen = self.requests.load(Ordering::Relaxed);
            thread::sleep(QUIET);
            if self.requests.load(Ordering::Relaxed) == seen {
                self.set_spinning(&mut self.pace.lock(), false);
            }
        }
    }

    fn set_spinning(&self, pace: &mut Pace, on: bool) {
        pace.spinning = on;
        let mut flags = OFlag::O_RDWR;
        flags.set(OFlag::O_NONBLOCK, on);
        // It cannot fail on an open descriptor; a loop that sleeps is slower, and right.
        let _ = fcntl(&self.connection, FcntlArg::F_SETFL(flags));
    }
}
