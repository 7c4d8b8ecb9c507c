//! The composition root: what is started, in which order, what ends it, and what is said when it
//! fails.
//!
//! Everything is put together here, and nothing imports this room. Refuses logic of its own.

mod background;
mod connect;
mod descriptors;
mod embedded;
mod emulator;
mod failure;
mod lines;
mod logging;
mod private_folder;
mod readiness;
mod recovering;
mod refreshing;
mod request;
mod sign_in;
mod signals;
mod terminal;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::auth::Credential;
use crate::cache::Cached;
use crate::config::MountConfig;
use crate::fs::{Fs, FsSettings};
use crate::fuse::{self, Kernel, Mounted, Serving, Unmounted};
use crate::rotation;
use crate::sys::forbid_dumps;
use crate::vault::http::HttpVault;
use background::Parent;
use connect::{connect, credential};
use embedded::Embedded;
pub use emulator::emulator;
pub use failure::Failure;
pub use recovering::{undelete, wait};
pub use refreshing::refresh;
pub use request::request;
use signals::{Order, Signals};
pub use terminal::say;

/// Threads for calls that wait for the vault. One carries more than any vault answers; of two, each wakes the
/// other for what it begins, which costs a lone cold read a third more switches of threads. So nothing may
/// block it: what does has `spawn_blocking`, or a thread of its own.
const WORKERS: usize = 1;
/// For how long an unmounted mount may go on, before it is one that somebody else holds.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// `akvfs mount`: in the foreground, or through a copy of this process in the background, which is
/// started with the same arguments.
///
/// # Errors
/// When the mount could not be made, or ended by itself.
pub fn mount(config: &MountConfig, arguments: &[OsString]) -> Result<(), Failure> {
    match Parent::of_this_process()? {
        None if !config.foreground => background::start(arguments),
        parent => serve(config, parent),
    }
}

/// `akvfs unmount`.
///
/// # Errors
/// When nothing of ours is mounted there, or the system refuses.
pub fn unmount(directory: &Path, lazy: bool) -> Result<(), Failure> {
    let ended = fuse::unmount(directory, lazy)?;
    if ended == Unmounted::Detached && !lazy {
        say(format_args!(
            "{} was in use, and is detached: nobody sees it any more; files that are open stay readable until they are closed",
            directory.display()
        ));
    }
    Ok(())
}

/// `akvfs unmount --dead`.
///
/// # Errors
/// When a dead mount is another user's, or the system refuses.
pub fn unmount_dead(directory: &Path) -> Result<(), Failure> {
    Ok(fuse::clear_dead(directory)?)
}

fn serve(config: &MountConfig, parent: Option<Parent>) -> Result<(), Failure> {
    forbid_dumps().map_err(|error| Failure::system("cannot forbid core dumps", &error))?;
    descriptors::raise_limit()?;
    // Before the first thread: what it takes from the environment is removed from it.
    let credential = credential(&config.access)?;
    let log = logging::start(config.log_level, parent.is_some())?;
    fuse::check(&config.directory)?;
    let runtime = runtime()?;
    let result = runtime.block_on(begin_and_serve(config, parent, credential));
    // The request loop of a detached mount waits for the last open file; the process does not.
    runtime.shutdown_background();
    log.finish();
    result
}

async fn begin_and_serve(
    config: &MountConfig,
    parent: Option<Parent>,
    credential: Option<Credential>,
) -> Result<(), Failure> {
    // Before there is a mount: a signal in between would leave it behind, dead.
    let mut signals = Signals::new()?;
    let (cache, _embedded) = tokio::select! {
        begun = begin(config, credential) => begun?,
        () = signals.end() => return match parent {
            None => Ok(()),
            Some(_) => Err(Failure::other("ended by a signal before the mount was ready".to_owned())),
        },
        () = gone(parent.as_ref()) => {
            return Err(Failure::other("the command that waited for the mount is gone".to_owned()));
        }
    };
    Mount::new(config, cache)?.until_the_end(parent, signals).await
}

/// The vault, ready as far as it has to be before anything is mounted.
async fn begin(
    config: &MountConfig,
    credential: Option<Credential>,
) -> Result<(Cached<HttpVault>, Option<Embedded>), Failure> {
    let (vault, embedded) = connect(&config.access, credential).await?;
    let cache = Cached::new(vault.clone(), config.cache.clone());
    readiness::reach(&vault, &cache, &config.readiness).await?;
    Ok((cache, embedded))
}

/// Resolves when the one who waits for us has gone away; never, if nobody waits.
async fn gone(parent: Option<&Parent>) {
    match parent {
        Some(parent) => parent.gone().await,
        None => std::future::pending().await,
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(WORKERS).thread_name("vault").enable_all().build();
    built.map_err(|error| Failure::system("cannot start the runtime", &error))
}

/// A mount that is served.
struct Mount {
    mounted: Mounted,
    serving: Serving,
    kernel: Kernel,
    fs: Arc<Fs<Cached<HttpVault>>>,
    cache: Cached<HttpVault>,
}

impl Mount {
    fn new(config: &MountConfig, cache: Cached<HttpVault>) -> Result<Mount, Failure> {
        tokio::spawn(cache.clone().keep_fresh());
        let settings = FsSettings {
            ownership: config.ownership,
            mounted_at: now(),
            ttl: config.cache.ttl,
            deadline: config.serve.deadline,
            lazy_sizes: config.lazy_sizes,
            page_cache: config.page_cache,
            writing: config.writing.clone(),
        };
        let fs = Fs::new(cache.clone(), settings);
        let (mounted, connection) = fuse::mount(&config.directory, &config.mount)?;
        if mounted.made_directory() {
            say(format_args!("made the mount point {}", mounted.path().display()));
        }
        let (serving, kernel) = match fuse::serve(Arc::clone(&fs), &mounted, connection, config.serve) {
            Ok(served) => served,
            Err(error) => {
                mounted.undo();
                return Err(Failure::system("the kernel does not speak FUSE as expected", &error));
            }
        };
        let notifier = Arc::new(fuse::Notifier::new(Arc::clone(&fs), kernel.clone(), mounted.path()));
        tokio::spawn(rotation::follow(cache.changes(), notifier, config.rotation.clone()));
        info!(vault = config.mount.source, directory = %mounted.path().display(), "mounted");
        Ok(Mount { mounted, serving, kernel, fs, cache })
    }

    /// Says that the mount is ready, and serves it until somebody unmounts it or tells us to.
    async fn until_the_end(self, parent: Option<Parent>, signals: Signals) -> Result<(), Failure> {
        let fs = Arc::clone(&self.fs);
        let result = self.served(parent, signals).await;
        fs.finish().await; // what has been written and not yet sent
        result
    }

    async fn served(self, parent: Option<Parent>, mut signals: Signals) -> Result<(), Failure> {
        let Mount { mounted, serving, kernel, fs, cache } = self;
        let mut served = tokio::task::spawn_blocking(move || serving.wait());
        if !ready(parent) {
            let ended = end(&mounted, served).await;
            mounted.remove_made();
            return ended;
        }
        loop {
            tokio::select! {
                result = &mut served => return ended_by_itself(&mounted, result),
                order = signals.next() => match order {
                    Order::End => return end(&mounted, served).await,
                    Order::Forget => {
                        info!("forgetting what is cached");
                        cache.forget_all();
                        let (kernel, directories, inodes) = (kernel.clone(), fs.listings(), fs.known_inodes());
                        tokio::task::spawn_blocking(move || kernel.forget(&directories, &inodes));
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

type Served = JoinHandle<io::Result<()>>;

async fn end(mounted: &Mounted, served: Served) -> Result<(), Failure> {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let directory = mounted.path().display();
    match mounted.unmount()? {
        Unmounted::Clean => match timeout(LAST_REQUESTS, served).await {
            Ok(result) => ended_by_itself(mounted, result),
            Err(_) => {
                warn!(%directory, "unmounted here; a container still has the mount, and it is dead there");
                Ok(())
            }
        },
        Unmounted::Detached => {
            warn!(%directory, "the mount was in use: detached; files that are open in it now fail");
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

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
