//! Flags turned into meaning, once: every usage error and its wording, and the settings of each room.
//!
//! Refuses to read anything but what it was given: no vault, no mount point.

mod cache;
mod local_store;
mod paths;
mod ready;
mod rotation;
mod vault_address;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};
use url::Url;

use crate::cache::CacheSettings;
use crate::cli::{Auth, EmulatorArgs, LogLevel, MountArgs, Spin};
use crate::emulator::Options;
use crate::fuse::{MountSettings, ServeSettings};
use crate::rotation::RotationSettings;
use crate::tree::Ownership;
pub use local_store::LocalStore;
use paths::absolute;
pub use ready::{Readiness, ReadyWhen};
use vault_address::VaultAddress;

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
    /// No token.
    #[error(
        "--auth token-file needs --token-file FILE, with a token for https://vault.azure.net in it: \
         `akvfs mount --help` shows how to get one"
    )]
    TokenFileMissing,
    /// A flag that the embedded vault has no use for.
    #[error("{0} is of no use with an embedded vault, which has its own tokens and needs no certificate: leave it out")]
    NotForEmbedded(&'static str),
    /// A flag that only a vault on disk has a use for.
    #[error("--key-file is the key of a vault that is kept on disk: {0}")]
    NothingToOpen(&'static str),
    /// A path that is relative to nothing.
    #[error(
        "{0:?} is relative to the current directory, which has been removed: change to one that exists, \
         or give an absolute path"
    )]
    NoWorkingDirectory(PathBuf),
    /// Nowhere to keep a vault.
    #[error("no place to keep a local: vault: set HOME, XDG_STATE_HOME or STATE_DIRECTORY to an absolute path")]
    NoStateFolder,
    /// Not a number of days that the service takes.
    #[error("--retention-days {0} is out of range: deleted secrets are kept for 7 to 90 days")]
    Retention(u32),
    /// An owner who would be shut out.
    #[error("--uid {0} without --allow-other would shut that user out: add --allow-other")]
    OwnerShutOut(u32),
    /// Everybody could read.
    #[error(
        "--allow-other with --file-mode {0:04o} lets every user of this machine read every secret: \
         take away the last digit's 4, or say --world-readable if that is meant"
    )]
    WorldReadable(u16),
    /// No time to get ready in.
    #[error("--ready-timeout must be more than 0: use --ready mounted to wait for no vault")]
    NoReadyTimeout,
    /// No time at all.
    #[error("--deadline must be more than 0: no call could ever end well")]
    NoDeadline,
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
    /// Not a version of the API.
    #[error("--api-version {0:?} is no API version: they look like 7.4 or 2025-07-01")]
    ApiVersion(String),
}

/// Which vault, and what it takes to get in.
#[derive(Clone, Debug)]
pub enum VaultConfig {
    /// One behind https.
    Remote {
        /// Scheme, host and port.
        url: Url,
        /// The file that holds the token.
        token_file: PathBuf,
    },
    /// The embedded vault, in memory and full of examples.
    Demo,
    /// The embedded vault of this name, kept on disk.
    Local(String, LocalStore),
}

/// Everything `akvfs mount` needs to know.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// Which vault.
    pub vault: VaultConfig,
    /// Where to mount: absolute, as it was typed otherwise.
    pub directory: PathBuf,
    /// Whether to stay in the foreground.
    pub foreground: bool,
    /// How much to log.
    pub log_level: LogLevel,
    /// What has to be known before the mount counts as ready.
    pub readiness: Readiness,
    /// Time limit of every call.
    pub deadline: Duration,
    /// Version of the REST API.
    pub api_version: String,
    /// Whether the challenge's resource must be a parent domain of the vault's host.
    pub verify_resource: bool,
    /// More certificate authorities to trust.
    pub ca_bundle: Option<PathBuf>,
    /// Owner, group, modes.
    pub ownership: Ownership,
    /// The cache's settings.
    pub cache: CacheSettings,
    /// What follows a change.
    pub rotation: RotationSettings,
    /// The mount's settings.
    pub mount: MountSettings,
    /// How requests are answered.
    pub serve: ServeSettings,
}

impl MountConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &MountArgs) -> Result<MountConfig, UsageError> {
        let address = VaultAddress::parse(&args.vault)?;
        let source = address.to_string();
        let ownership = ownership(args)?;
        let vault = vault(args, address)?;
        check_values(args)?;
        Ok(MountConfig {
            mount: MountSettings { source, allow_other: args.allow_other },
            serve: ServeSettings { deadline: args.deadline, spin: args.spin == Spin::Auto },
            vault,
            directory: absolute(&args.directory)?,
            foreground: args.foreground,
            log_level: args.log_level,
            readiness: Readiness::from_args(&args.ready)?,
            deadline: args.deadline,
            api_version: args.api_version.clone(),
            verify_resource: !args.no_verify_challenge_resource,
            ca_bundle: args.ca_bundle.as_deref().map(absolute).transpose()?,
            ownership,
            cache: cache::settings(&args.cache)?,
            rotation: rotation::settings(&args.rotation, &absolute(&args.directory)?)?,
        })
    }
}

/// Everything `akvfs emulator` needs to know.
#[derive(Clone, Debug)]
pub struct EmulatorConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Where the vault is kept; `None` for memory.
    pub store: Option<LocalStore>,
    /// How the vault treats deletion.
    pub options: Options,
    /// Whether to fill the vault with examples.
    pub demo: bool,
    /// A socket for faults and the clock.
    pub control: Option<PathBuf>,
    /// Where to write the certificate authority; a folder of its own if `None`.
    pub ca_out: Option<PathBuf>,
    /// Where to write the token; a folder of its own if `None`.
    pub token_out: Option<PathBuf>,
}

/// Where an embedded vault listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// https on a loopback address.
    Tls(SocketAddr),
    /// http on a Unix socket.
    Unix(PathBuf),
}

impl EmulatorConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &EmulatorArgs) -> Result<EmulatorConfig, UsageError> {
        let listen = match &args.unix {
            Some(path) => Listen::Unix(absolute(path)?),
            None => Listen::Tls(args.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))),
        };
        let path = |given: &Option<PathBuf>| given.as_deref().map(absolute).transpose();
        let (store, key_file) = (path(&args.store)?, path(&args.key_file)?);
        let (control, ca_out, token_out) = (path(&args.control)?, path(&args.ca_out)?, path(&args.token_out)?);
        let store = match (store, key_file) {
            (Some(directory), key_file) => Some(LocalStore::in_folder(directory, key_file)),
            (None, Some(_)) => return Err(UsageError::NothingToOpen("give it with --store DIR")),
            (None, None) => None,
        };
        Ok(EmulatorConfig { listen, store, options: options(args)?, demo: args.demo, control, ca_out, token_out })
    }
}

fn options(args: &EmulatorArgs) -> Result<Options, UsageError> {
    if !(7..=90).contains(&args.retention_days) {
        return Err(UsageError::Retention(args.retention_days));
    }
    let delays = if args.realistic { Options::realistic() } else { Options::default() };
    Ok(Options {
        retention_days: args.retention_days,
        purge_protection: args.purge_protection,
        deletion_delay: args.deletion_delay.unwrap_or(delays.deletion_delay),
        recovery_delay: args.recovery_delay.unwrap_or(delays.recovery_delay),
        ..delays
    })
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
    })
}

fn mode(flag: &'static str, given: &str, example: &'static str) -> Result<u16, UsageError> {
    let mode = u16::from_str_radix(given, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| UsageError::Mode { flag, given: given.to_owned(), example })
}

fn vault(args: &MountArgs, address: VaultAddress) -> Result<VaultConfig, UsageError> {
    let key_file = args.key_file.as_deref().map(absolute).transpose()?;
    if key_file.is_some() && !matches!(address, VaultAddress::Local(_)) {
        return Err(UsageError::NothingToOpen("give it with local: or local:NAME"));
    }
    match address {
        VaultAddress::Remote(url) => {
            let Auth::TokenFile = args.auth; // the only way so far
            let token_file = args.token_file.as_deref().ok_or(UsageError::TokenFileMissing)?;
            let token_file = absolute(token_file)?;
            Ok(VaultConfig::Remote { url, token_file })
        }
        VaultAddress::Demo => embedded(args).map(|()| VaultConfig::Demo),
        VaultAddress::Local(name) => {
            embedded(args)?;
            let store = LocalStore::of_vault(&name, key_file)?;
            Ok(VaultConfig::Local(name, store))
        }
    }
}

/// What only a vault behind https has a use for.
fn embedded(args: &MountArgs) -> Result<(), UsageError> {
    let useless = [
        (args.token_file.is_some(), "--token-file"),
        (args.ca_bundle.is_some(), "--ca-bundle"),
        (args.no_verify_challenge_resource, "--no-verify-challenge-resource"),
    ];
    match useless.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(UsageError::NotForEmbedded(flag)),
        None => Ok(()),
    }
}

fn check_values(args: &MountArgs) -> Result<(), UsageError> {
    if args.deadline.is_zero() {
        return Err(UsageError::NoDeadline);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if args.api_version.is_empty() || !args.api_version.bytes().all(legal) {
        return Err(UsageError::ApiVersion(args.api_version.clone()));
    }
    Ok(())
}
