//! The thread that tells the kernel what may have to wait for a lock of its own: neither the thread that
//! answers requests nor the tasks that carry the vault's answers may wait for that.
//!
//! One thread, and not one of a pool: what is told in a burst is told without a switch of threads in between.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::reply::caught;

type Telling = Box<dyn FnOnce() + Send>;

/// Tells one thing after the other. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub(super) struct Teller(Sender<Telling>);

impl Teller {
    pub(super) fn start() -> io::Result<Teller> {
        let (sender, tellings) = channel::<Telling>();
        thread::Builder::new().name("teller".to_owned()).spawn(move || {
            for telling in tellings {
                // Whoever waits for one that panics is answered when it is dropped.
                let _ = caught(|| {
                    telling();
                    Ok(())
                });
            }
        })?;
        Ok(Teller(sender))
    }

    /// Has it told soon.
    pub(super) fn tell(&self, telling: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(telling)); // the thread is there for as long as this is
    }
}
