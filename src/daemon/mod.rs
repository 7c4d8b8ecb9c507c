//! The composition root: what is started, in which order, what ends it, and what is said when it
//! fails.
//!
//! Everything is put together here, and nothing imports this room. Refuses logic of its own.

mod background;
mod embedded;
mod emulator;
mod failure;
mod logging;
mod private_folder;
mod sign_in;

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::auth::Credential;
use crate::cache::Cached;
use crate::config::{MountConfig, VaultConfig};
use crate::fs::{Fs, FsSettings};
use crate::fuse::{self, Mounted, Serving, Unmounted};
use crate::sys::forbid_dumps;
use crate::vault::http::{HttpSettings, HttpVault};
use crate::vault::{Denial, Vault, VaultError, VaultErrorKind};
use background::Parent;
use embedded::Embedded;
pub use emulator::emulator;
pub use failure::Failure;

/// Threads for calls that wait for the vault.
const WORKERS: usize = 2;

/// `akvfs mount`: in the foreground, or through a copy of this process in the background.
///
/// # Errors
/// When the mount could not be made, or ended by itself.
pub fn mount(config: MountConfig) -> Result<(), Failure> {
    let parent = Parent::of_this_process();
    match parent {
        None if !config.foreground => background::start(),
        parent => serve(&config, parent),
    }
}

/// `akvfs unmount`.
///
/// # Errors
/// When nothing of ours is mounted there, or the system refuses.
pub fn unmount(directory: &Path, lazy: bool) -> Result<(), Failure> {
    let ended = fuse::unmount(directory, lazy)?;
    if ended == Unmounted::Detached && !lazy {
        say(&format!(
            "{} was in use, and is detached: nobody sees it any more; files that are open stay readable until they are closed",
            directory.display()
        ));
    }
    Ok(())
}

fn serve(config: &MountConfig, parent: Option<Parent>) -> Result<(), Failure> {
    forbid_dumps().map_err(|error| Failure::system("cannot forbid core dumps", &error))?;
    logging::start(config.log_level, parent.is_some());
    fuse::check(&config.directory)?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let (vault, _embedded) = connect(config).await?;
        authenticate(&vault).await?;
        let mount = Mount::new(config, vault)?;
        mount.until_the_end(parent).await
    });
    // The request loop of a detached mount waits for the last open file; the process does not.
    runtime.shutdown_background();
    result
}

fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(WORKERS).thread_name("vault").enable_all().build();
    built.map_err(|error| Failure::system("cannot start the runtime", &error))
}

/// A client for the vault, and the vault itself if it is ours to run.
async fn connect(config: &MountConfig) -> Result<(HttpVault, Option<Embedded>), Failure> {
    let settings = |base, socket| HttpSettings {
        base,
        socket,
        ca_bundle: config.ca_bundle.clone(),
        api_version: config.api_version.clone(),
        verify_resource: config.verify_resource,
        deadline: config.deadline,
    };
    let embedded = match &config.vault {
        VaultConfig::Remote { url, token_file } => {
            let credential = Credential::from_file(token_file.clone());
            return Ok((HttpVault::new(settings(url.clone(), None), credential)?, None));
        }
        VaultConfig::Demo => Embedded::demo().await?,
        VaultConfig::Local(name, store) => Embedded::local(name, store).await?,
    };
    let settings = settings(embedded.base()?, Some(embedded.socket()));
    Ok((HttpVault::new(settings, embedded.credential())?, Some(embedded)))
}

/// One page of the listing shows whether the vault is there and lets us in. It need not let us list:
/// who may only get is let in as well.
async fn authenticate(vault: &HttpVault) -> Result<(), Failure> {
    match vault.secrets().next().await {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(VaultError { kind: VaultErrorKind::Denied(Denial::Permission), .. })) => {
            warn!("the vault does not let us list: files can be opened by name only");
            Ok(())
        }
        Some(Err(error)) => Err(error.into()),
    }
}

/// A mount that is served.
struct Mount {
    mounted: Mounted,
    serving: Serving,
    cache: Cached<HttpVault>,
}

impl Mount {
    fn new(config: &MountConfig, vault: HttpVault) -> Result<Mount, Failure> {
        let cache = Cached::new(vault, config.cache.clone());
        let fs = Fs::new(cache.clone(), FsSettings { ownership: config.ownership, mounted_at: now() });
        let (mounted, connection) = fuse::mount(&config.directory, &config.mount)?;
        if mounted.made_directory() {
            say(&format!("made the mount point {}", mounted.path().display()));
        }
        let serving = fuse::serve(fs, connection, config.deadline).map_err(|error| {
            let _ = mounted.unmount(); // it cannot be served: the error to tell is the other one
            Failure::system("the kernel does not speak FUSE as expected", &error)
        })?;
        info!(vault = config.mount.source, directory = %mounted.path().display(), "mounted");
        Ok(Mount { mounted, serving, cache })
    }

    /// Says that the mount is ready, and serves it until somebody unmounts it or tells us to.
    async fn until_the_end(self, parent: Option<Parent>) -> Result<(), Failure> {
        let Mount { mounted, serving, cache } = self;
        let mut signals = Signals::new()?;
        let mut served = tokio::task::spawn_blocking(move || serving.wait());
        if !ready(parent) {
            return end(&mounted, served).await;
        }
        loop {
            tokio::select! {
                result = &mut served => return ended_by_itself(&mounted, result),
                order = signals.next() => match order {
                    Order::End => return end(&mounted, served).await,
                    Order::Forget => {
                        info!("forgetting what is cached");
                        cache.forget_all();
                    }
                },
            }
        }
    }
}

/// Tells whoever waits; false if the one who waited has gone away, and wants no mount any more.
fn ready(parent: Option<Parent>) -> bool {
    // An error here means that nobody listens: systemd has not started us.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    parent.is_none_or(Parent::ready)
}

type Served = tokio::task::JoinHandle<io::Result<()>>;

async fn end(mounted: &Mounted, served: Served) -> Result<(), Failure> {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    match mounted.unmount()? {
        Unmounted::Clean => {
            let result = served.await;
            ended_by_itself(mounted, result)
        }
        Unmounted::Detached => {
            warn!(directory = %mounted.path().display(), "the mount was in use: detached; files that are open in it now fail");
            Ok(())
        }
        Unmounted::Already => Ok(()),
    }
}

fn ended_by_itself(mounted: &Mounted, result: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), Failure> {
    match result.unwrap_or_else(|_| Err(io::Error::other("the request loop panicked"))) {
        Ok(()) => {
            info!(directory = %mounted.path().display(), "unmounted");
            Ok(())
        }
        Err(error) => {
            let _ = mounted.unmount(); // a mount that nobody serves would hang its users
            Err(Failure::system("the mount ended by an error", &error))
        }
    }
}

/// The signals that a mount heeds.
struct Signals {
    interrupt: Signal,
    term: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let heed = |kind| signal(kind).map_err(|error| Failure::system("cannot heed signals", &error));
        Ok(Signals {
            interrupt: heed(SignalKind::interrupt())?,
            term: heed(SignalKind::terminate())?,
            hangup: heed(SignalKind::hangup())?,
        })
    }

    /// The next order.
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::End,
            _ = self.term.recv() => Order::End,
            _ = self.hangup.recv() => Order::Forget,
        }
    }
}

/// What a signal asks for.
enum Order {
    /// SIGTERM, Ctrl-C: end.
    End,
    /// SIGHUP: forget what is cached.
    Forget,
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "what a person has to know, and no error")]
fn say(line: &str) {
    eprintln!("akvfs: {line}");
}
