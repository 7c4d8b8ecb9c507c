//! The kernel: mounting, decoding requests, replying, interrupts.
//!
//! Owns everything that names fuser. Refuses to decide anything a user could see: each callback hands
//! its request to [`Fs`], and the answer to the kernel.

mod adapter;
mod caller;
mod complaints;
mod curfew;
mod fusermount;
mod interrupt;
mod kernel;
mod mount;
mod mountinfo;
mod notify;
mod place;
mod reply;
mod spin;
mod teller;
mod touch;
mod unmount;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuser::{Config, Session, SessionACL};

use crate::fs::Fs;
use crate::vault::Vault;
use adapter::Adapter;
pub use kernel::Kernel;
pub use mount::{MountError, MountSettings, Mounted, mount};
pub use notify::Notifier;
pub use place::{check, clear_dead};
use spin::Spin;
use teller::Teller;
pub use unmount::{UnmountError, Unmounted, unmount};

/// Threads that read requests. One is enough, since nothing waits on it: what has to wait for the vault
/// leaves it for a task. A second one takes turns with the first, and costs a lone reader a switch of
/// threads per file: 1.24 times the time of the C floor on one CPU instead of 1.07. And when the only
/// loop ends by an error, the mount ends with it, instead of hanging every other caller.
const LOOPS: usize = 1;

/// A mount that is being served.
pub struct Serving(JoinHandle<io::Result<()>>);

/// How requests are answered.
#[derive(Clone, Copy, Debug)]
pub struct ServeSettings {
    /// Time limit of every request.
    pub deadline: Duration,
    /// Whether the request loop may spin during a burst of requests, given a CPU to spare.
    pub spin: bool,
}

/// Serves the filesystem on a mount's open FUSE connection, until it is unmounted. Requests that the vault has
/// to answer wait in tasks of the current tokio runtime.
///
/// # Errors
/// When the kernel refuses the handshake, or speaks too old a protocol.
pub fn serve<V: Vault>(
    fs: Arc<Fs<V>>,
    mounted: &Mounted,
    connection: OwnedFd,
    settings: ServeSettings,
) -> io::Result<(Serving, Kernel)> {
    let kernel = Kernel::default();
    let line = connection.try_clone()?;
    let spin = if settings.spin && spin::is_worthwhile() { Some(Spin::new(connection.try_clone()?)?) } else { None };
    let adapter = Adapter::new(fs, mounted.device(), kernel.clone(), Teller::start()?, spin, settings.deadline);
    let mut config = Config::default();
    config.n_threads = Some(LOOPS);
    // Who may enter is the mount's business, and the kernel's to check.
    let session = Session::from_fd(adapter, connection, SessionACL::All, config)?;
    kernel.connect(session.notifier(), line);
    let thread = thread::Builder::new().name("fuse".to_owned()).spawn(move || session.run())?;
    Ok((Serving(thread), kernel))
}

impl Serving {
    /// Waits until the mount is gone, and every open file with it. Blocks.
    ///
    /// # Errors
    /// When the loops ended for another reason: a request that made no sense, or a panic.
    pub fn wait(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the request loop panicked")))
    }
}
