//! Signals to a caller that waits.
//!
//! fuser tells nothing of FUSE_INTERRUPT, and a caller that waits for us cannot even be killed until
//! we reply. So we look for pending signals ourselves (proc_pid_status(5)).

use std::fs;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Between two looks; a caller is answered within 50 ms of its signal.
const PERIOD: Duration = Duration::from_millis(25);

const HANGUP: u64 = bit(libc::SIGHUP);
const INTERRUPT: u64 = bit(libc::SIGINT);
const QUIT: u64 = bit(libc::SIGQUIT);
const TERMINATE: u64 = bit(libc::SIGTERM);
const KILL: u64 = bit(libc::SIGKILL);
/// Signals that a program may catch, and still wants its call to end for.
const WANTED_WHEN_CAUGHT: u64 = HANGUP | INTERRUPT | QUIT | TERMINATE;
/// Signals whose default is not the end of the process (signal(7)).
const HARMLESS: u64 = bit(libc::SIGCHLD)
    | bit(libc::SIGCONT)
    | bit(libc::SIGURG)
    | bit(libc::SIGWINCH)
    | bit(libc::SIGSTOP)
    | bit(libc::SIGTSTP)
    | bit(libc::SIGTTIN)
    | bit(libc::SIGTTOU);

const fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// Resolves when the thread has a signal pending that should end its call; never, if there is no such
/// thread to be seen.
pub(super) async fn interrupted(thread: u32) {
    if thread != 0 && WATCH.wait_for(thread).await.is_ok() {
        return;
    }
    std::future::pending().await
}

/// One thread looks at all callers that wait: reading /proc takes its time, and the workers have
/// answers to carry.
static WATCH: LazyLock<Watch> = LazyLock::new(Watch::start);

struct Watch(Sender<Waiting>);

struct Waiting {
    thread: u32,
    interrupted: oneshot::Sender<()>,
}

impl Watch {
    fn start() -> Watch {
        let (sender, waiting) = channel();
        // Without the thread, for which there must be no memory, nobody can be interrupted.
        let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || look(&waiting));
        Watch(sender)
    }

    fn wait_for(&self, thread: u32) -> oneshot::Receiver<()> {
        let (interrupted, receiver) = oneshot::channel();
        let _ = self.0.send(Waiting { thread, interrupted });
        receiver
    }
}

/// Looks at each of the callers once a period; sleeps while there is none.
fn look(arrivals: &Receiver<Waiting>) {
    let mut waiting: Vec<Waiting> = Vec::new();
    while let Ok(first) = arrivals.recv() {
        waiting.push(first);
        while !waiting.is_empty() {
            thread::sleep(PERIOD);
            waiting.retain(|caller| !caller.interrupted.is_closed());
            let (ended, rest) = waiting.into_iter().partition(|caller| has_to_end(caller.thread));
            waiting = rest;
            // Most are answered before they have waited for a whole period, and then cost no look.
            waiting.extend(arrivals.try_iter());
            for caller in ended {
                let _ = caller.interrupted.send(()); // or it has been answered meanwhile
            }
        }
    }
}

fn has_to_end(thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status"));
    status.is_ok_and(|status| Signals::parse(&status).end_the_call())
}

/// The signal masks of a thread, one bit per signal.
#[derive(Default, Debug)]
struct Signals {
    pending: u64,
    blocked: u64,
    ignored: u64,
    caught: u64,
}

impl Signals {
    fn parse(status: &str) -> Signals {
        let mut signals = Signals::default();
        for (key, value) in status.lines().filter_map(|line| line.split_once(':')) {
            let mask = || u64::from_str_radix(value.trim(), 16).unwrap_or(0);
            match key {
                "SigPnd" | "ShdPnd" => signals.pending |= mask(),
                "SigBlk" => signals.blocked = mask(),
                "SigIgn" => signals.ignored = mask(),
                "SigCgt" => signals.caught = mask(),
                _ => {}
            }
        }
        signals
    }

    fn end_the_call(&self) -> bool {
        // A program that takes its signals from a descriptor blocks them, and has them pending for ever.
        let seen = self.pending & !self.blocked & !self.ignored;
        let fatal = seen & !self.caught & !HARMLESS;
        fatal != 0 || seen & WANTED_WHEN_CAUGHT != 0 || self.pending & KILL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(pending: u64, blocked: u64, ignored: u64, caught: u64) -> bool {
        Signals { pending, blocked, ignored, caught }.end_the_call()
    }

    #[test]
    fn a_call_ends_for_what_would_end_or_was_meant_to_reach_the_program() {
        let usr1 = bit(libc::SIGUSR1);
        assert!(ends(KILL, 0, 0, 0));
        assert!(ends(usr1, 0, 0, 0), "fatal by default");
        assert!(ends(INTERRUPT, 0, 0, INTERRUPT), "a caught Ctrl-C");
        assert!(!ends(usr1, 0, 0, usr1), "a caught SIGUSR1 restarts calls");
        assert!(!ends(TERMINATE, TERMINATE, 0, 0), "signalfd");
        assert!(!ends(INTERRUPT, 0, INTERRUPT, 0), "nohup");
        assert!(!ends(bit(libc::SIGCHLD) | bit(libc::SIGWINCH), 0, 0, 0));
        assert!(!ends(0, 0, 0, 0));
    }

    #[test]
    fn masks_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tcat\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000010000\n\
                      SigIgn:\t0000000000001000\nSigCgt:\t0000000180004002\n";
        let signals = Signals::parse(status);
        assert_eq!(signals.pending, KILL | INTERRUPT);
        assert_eq!((signals.blocked, signals.ignored, signals.caught), (0x10000, 0x1000, 0x1_8000_4002));
    }
}
