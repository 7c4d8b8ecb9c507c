//! Spinning through a burst of requests instead of sleeping between them.
//!
//! A loop that sleeps pays a wake-up for each request, which across the CPUs of a virtual machine is
//! most of what a request costs. fuser's loop repeats on EAGAIN, so it spins as long as `O_NONBLOCK` is
//! set on its connection (fcntl(2)). That takes a CPU, so it is set in a burst only: when requests
//! follow each other closely, and until they stop. A single read now and then sets nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// So many requests ...
const BURST: u64 = 16;
/// ... within this time are a burst.
const WITHIN: Duration = Duration::from_millis(2);
/// A burst is over when nothing has come for so long.
const QUIET: Duration = Duration::from_micros(100);

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
    started: Instant,
    /// Requests so far.
    requests: AtomicU64,
    /// When the last `BURST` of them had come; nanoseconds since `started`.
    marked: AtomicU64,
    spinning: AtomicBool,
    /// The thread that ends a burst.
    governor: OnceLock<Thread>,
}

impl Spin {
    pub(super) fn new(connection: OwnedFd) -> io::Result<Spin> {
        let state = Arc::new(State {
            connection,
            started: Instant::now(),
            requests: AtomicU64::new(0),
            marked: AtomicU64::new(0),
            spinning: AtomicBool::new(false),
            governor: OnceLock::new(),
        });
        let governed = Arc::clone(&state);
        let governor = thread::Builder::new().name("spin".to_owned()).spawn(move || governed.end_bursts())?;
        let _ = state.governor.set(governor.thread().clone()); // set once, here
        Ok(Spin(state))
    }

    /// A request has come.
    pub(super) fn request(&self) {
        let state = &self.0;
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(BURST) {
            return;
        }
        let now = u64::try_from(state.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let took = now.saturating_sub(state.marked.swap(now, Ordering::Relaxed));
        if Duration::from_nanos(took) < WITHIN && !state.spinning.swap(true, Ordering::AcqRel) {
            state.set_spinning(true);
            if let Some(governor) = state.governor.get() {
                governor.unpark();
            }
        }
    }
}

impl State {
    fn end_bursts(&self) {
        loop {
            while !self.spinning.load(Ordering::Acquire) {
                thread::park();
            }
            loop {
                let before = self.requests.load(Ordering::Relaxed);
                thread::sleep(QUIET);
                if self.requests.load(Ordering::Relaxed) == before {
                    break;
                }
            }
            self.set_spinning(false);
            self.spinning.store(false, Ordering::Release);
        }
    }

    fn set_spinning(&self, on: bool) {
        let mut flags = OFlag::O_RDWR;
        flags.set(OFlag::O_NONBLOCK, on);
        // It cannot fail on an open descriptor; a loop that sleeps is slower, and right.
        let _ = fcntl(&self.connection, FcntlArg::F_SETFL(flags));
    }
}
