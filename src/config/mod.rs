//! Flags turned into meaning, once: every usage error and its wording, and the settings of each room.
//!
//! Refuses to read anything but what it was given: no vault, no mount point.

mod access;
mod cache;
mod emulator;
mod local_store;
mod paths;
mod ready;
mod request;
mod rotation;
mod sign_in;
mod vault_address;
mod writing;

use std::path::PathBuf;

use crate::cache::CacheSettings;
use crate::cli::{LogLevel, MountArgs, Sizes, Spin};
use crate::fs::WritingSettings;
use crate::fuse::{MountSettings, ServeSettings};
use crate::rotation::RotationSettings;
use crate::tree::Ownership;
pub use access::{AccessConfig, VaultConfig};
pub use emulator::{EmulatorConfig, Listen, SignInConfig};
pub use local_store::LocalStore;
use nix::unistd::{getegid, geteuid};
pub use paths::NoWorkingDirectory;
use paths::{absolute, absolute_if_given};
pub use ready::{Readiness, ReadyWhen};
pub use request::{Body, RequestConfig};
pub use sign_in::SignInError;

/// Flags that do not go together, or mean nothing.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Not one of the forms of a vault.
    #[error("{given:?} is no vault: {why}")]
    Vault {
        /// As typed.
        given: String,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// No octal permissions.
    #[error("{flag} {given:?} is no file mode: give octal permissions, such as {example}")]
    Mode {
        /// The flag's name.
        flag: &'static str,
        /// As typed.
        given: String,
        /// A mode that would do.
        example: &'static str,
    },
    /// No way to sign in, or half of one.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// A flag that the embedded vault has no use for.
    #[error("{0} is of no use with an embedded vault, which has its own tokens and needs no certificate: leave it out")]
    NotForEmbedded(&'static str),
    /// A flag that only a vault on disk has a use for.
    #[error("--key-file is the key of a vault that is kept on disk: {0}")]
    NothingToOpen(&'static str),
    /// A path that is relative to nothing.
    #[error(transparent)]
    NoWorkingDirectory(#[from] NoWorkingDirectory),
    /// Nowhere to keep a vault.
    #[error("no place to keep a local: vault: set HOME, XDG_STATE_HOME or STATE_DIRECTORY to an absolute path")]
    NoStateFolder,
    /// Not a number of days that the service takes.
    #[error("--retention-days {0} is out of range: deleted secrets are kept for 7 to 90 days")]
    Retention(u32),
    /// No permission on secrets.
    #[error(
        "--permissions {0:?}: there is no such permission: give some of get, list, set, delete, recover, backup, \
         restore, purge"
    )]
    Permission(String),
    /// A secret would have to travel in clear.
    #[error("--sign-in {0} needs https, as in Azure: leave out --http and --unix")]
    SignInInClear(&'static str),
    /// A flag that has nothing to say.
    #[error("--identity-listen is where a managed identity is offered: give it with --sign-in app-service or imds")]
    NoManagedIdentity,
    /// An owner who would be shut out.
    #[error("--uid {0} without --allow-other would shut that user out: add --allow-other")]
    OwnerShutOut(u32),
    /// Everybody could read.
    #[error(
        "--allow-other with --file-mode {0:04o} lets every user of this machine read every secret: \
         take away the last digit's 4, or say --world-readable if that is meant"
    )]
    WorldReadable(u16),
    /// Not a pattern for scratch files.
    #[error("--scratch {0:?} is no pattern for the names of scratch files: give one such as '*.part'")]
    Scratch(String),
    /// No time to get ready in.
    #[error("--ready-timeout must be more than 0: use --ready mounted to wait for no vault")]
    NoReadyTimeout,
    /// No time at all.
    #[error("--deadline must be more than 0: no call could ever end well")]
    NoDeadline,
    /// mount(8)'s `remount`.
    #[error("a mount of akvfs cannot be changed in place: unmount it, and mount it anew")]
    Remount,
    /// No place for a value.
    #[error("--cache-entries must be more than 0: to ask the vault for every read, give --ttl 0s")]
    NoCache,
    /// Not a secret and a unit.
    #[error("{flag} {given:?} should be a secret's name and a systemd unit, such as tls-*=nginx.service")]
    UnitRule {
        /// The flag's name.
        flag: &'static str,
        /// As typed.
        given: String,
    },
    /// No request at all.
    #[error("--max-rps must be more than 0: nothing could ever be asked")]
    NoRequests,
    /// Not a size that the service takes.
    #[error("--page-size {0} is out of range: a page has 1 to 25 entries")]
    PageSize(u8),
    /// Not a version of the API.
    #[error("--api-version {0:?} is no API version: they look like 7.4 or 2025-07-01")]
    ApiVersion(String),
}

/// Everything `akvfs mount` needs to know.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// How to reach the vault.
    pub access: AccessConfig,
    /// Where to mount: absolute, as it was typed otherwise.
    pub directory: PathBuf,
    /// Whether to stay in the foreground.
    pub foreground: bool,
    /// How much to log.
    pub log_level: LogLevel,
    /// What has to be known before the mount counts as ready.
    pub readiness: Readiness,
    /// Owner, group, modes.
    pub ownership: Ownership,
    /// The cache's settings.
    pub cache: CacheSettings,
    /// Whether nothing is fetched to know a size.
    pub lazy_sizes: bool,
    /// Whether the kernel may keep values in its page cache.
    pub page_cache: bool,
    /// What follows a change.
    pub rotation: RotationSettings,
    /// The mount's settings.
    pub mount: MountSettings,
    /// What may be changed.
    pub writing: WritingSettings,
    /// How requests are answered.
    pub serve: ServeSettings,
}

impl MountConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &MountArgs) -> Result<MountConfig, UsageError> {
        let ownership = ownership(args)?;
        let access = AccessConfig::from_args(&args.vault, &args.access)?;
        let rotation = rotation::settings(&args.rotation, &absolute(&args.directory)?)?;
        Ok(MountConfig {
            mount: MountSettings {
                source: access.source.clone(),
                allow_other: args.allow_other,
                read_only: !args.writing.rw,
            },
            writing: writing::settings(&args.writing)?,
            serve: ServeSettings { deadline: access.deadline, spin: args.spin == Spin::Auto },
            access,
            directory: absolute(&args.directory)?,
            foreground: args.foreground,
            log_level: args.log_level,
            readiness: Readiness::from_args(&args.ready)?,
            ownership,
            cache: cache::settings(&args.cache, &rotation)?,
            lazy_sizes: args.cache.sizes == Sizes::Lazy,
            page_cache: args.cache.page_cache,
            rotation,
        })
    }
}

fn ownership(args: &MountArgs) -> Result<Ownership, UsageError> {
    let file_mode = mode("--file-mode", &args.file_mode, "0400")?;
    let directory_mode = mode("--dir-mode", &args.dir_mode, "0500")?;
    if let Some(uid) = args.uid
        && uid != geteuid().as_raw()
        && !args.allow_other
    {
        return Err(UsageError::OwnerShutOut(uid));
    }
    if args.allow_other && file_mode & 0o004 != 0 && directory_mode & 0o001 != 0 && !args.world_readable {
        return Err(UsageError::WorldReadable(file_mode));
    }
    Ok(Ownership {
        uid: args.uid.unwrap_or(geteuid().as_raw()),
        gid: args.gid.unwrap_or(getegid().as_raw()),
        file_mode,
        directory_mode,
        writable: args.writing.rw,
    })
}

fn mode(flag: &'static str, given: &str, example: &'static str) -> Result<u16, UsageError> {
    let mode = u16::from_str_radix(given, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| UsageError::Mode { flag, given: given.to_owned(), example })
}
