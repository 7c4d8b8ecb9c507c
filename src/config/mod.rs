//! Flags turned into meaning, once: every usage error and its wording, and the settings of each room.
//!
//! Refuses to read anything but what it was given: no vault, no mount point.

mod vault_address;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{getegid, geteuid};

use crate::cache::CacheSettings;
use crate::cli::{Auth, EmulatorArgs, LogLevel, MountArgs};
use crate::fuse::MountSettings;
use crate::tree::Ownership;
pub use vault_address::VaultAddress;

/// For how long "there is none" is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// Values that are remembered; the newest one of a secret counts twice, since it is kept under its
/// version's number too.
const CACHE_ENTRIES: usize = 20_000;

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
    #[error("{0} is of no use with demo:, which has its own tokens and needs no certificate: leave it out")]
    NotForDemo(&'static str),
    /// An owner who would be shut out.
    #[error("--uid {0} without --allow-other would shut that user out: add --allow-other")]
    OwnerShutOut(u32),
    /// Everybody could read.
    #[error(
        "--allow-other with --file-mode {0:04o} lets every user of this machine read every secret: \
         take away the last digit's 4, or say --world-readable if that is meant"
    )]
    WorldReadable(u16),
    /// No time at all.
    #[error("--deadline must be more than 0: no call could ever end well")]
    NoDeadline,
    /// Not a version of the API.
    #[error("--api-version {0:?} is no API version: they look like 7.4 or 2025-07-01")]
    ApiVersion(String),
}

/// Everything `akvfs mount` needs to know.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// Which vault.
    pub vault: VaultAddress,
    /// Where to mount: absolute, as it was typed otherwise.
    pub directory: PathBuf,
    /// Whether to stay in the foreground.
    pub foreground: bool,
    /// How much to log.
    pub log_level: LogLevel,
    /// Time limit of every call.
    pub deadline: Duration,
    /// Version of the REST API.
    pub api_version: String,
    /// Whether the challenge's resource must be a parent domain of the vault's host.
    pub verify_resource: bool,
    /// More certificate authorities to trust.
    pub ca_bundle: Option<PathBuf>,
    /// The token, for vaults that are not embedded.
    pub token_file: Option<PathBuf>,
    /// Owner, group, modes.
    pub ownership: Ownership,
    /// The cache's settings.
    pub cache: CacheSettings,
    /// The mount's settings.
    pub mount: MountSettings,
}

impl MountConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &MountArgs) -> Result<MountConfig, UsageError> {
        let vault = VaultAddress::parse(&args.vault)?;
        let ownership = ownership(args)?;
        check_credential(args, &vault)?;
        check_values(args)?;
        Ok(MountConfig {
            mount: MountSettings { source: vault.to_string(), allow_other: args.allow_other },
            vault,
            directory: absolute(&args.directory),
            foreground: args.foreground,
            log_level: args.log_level,
            deadline: args.deadline,
            api_version: args.api_version.clone(),
            verify_resource: !args.no_verify_challenge_resource,
            ca_bundle: args.ca_bundle.as_deref().map(absolute),
            token_file: args.token_file.as_deref().map(absolute),
            ownership,
            cache: CacheSettings { ttl: args.ttl, negative_ttl: NEGATIVE_TTL, entries: CACHE_ENTRIES },
        })
    }
}

/// Everything `akvfs emulator` needs to know.
#[derive(Clone, Debug)]
pub struct EmulatorConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Whether to fill the vault with examples.
    pub demo: bool,
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
    pub fn from_args(args: &EmulatorArgs) -> EmulatorConfig {
        let listen = match &args.unix {
            Some(path) => Listen::Unix(absolute(path)),
            None => Listen::Tls(args.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))),
        };
        let [ca_out, token_out] = [&args.ca_out, &args.token_out].map(|path| path.as_deref().map(absolute));
        EmulatorConfig { listen, demo: args.demo, ca_out, token_out }
    }
}

/// The process leaves its directory, so no path may depend on it.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
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

fn check_credential(args: &MountArgs, vault: &VaultAddress) -> Result<(), UsageError> {
    match (vault, args.auth) {
        (VaultAddress::Demo, _) => {
            let useless = [
                (args.token_file.is_some(), "--token-file"),
                (args.ca_bundle.is_some(), "--ca-bundle"),
                (args.no_verify_challenge_resource, "--no-verify-challenge-resource"),
            ];
            match useless.iter().find(|(given, _)| *given) {
                Some((_, flag)) => Err(UsageError::NotForDemo(flag)),
                None => Ok(()),
            }
        }
        (VaultAddress::Remote(_), Auth::TokenFile) if args.token_file.is_none() => Err(UsageError::TokenFileMissing),
        (VaultAddress::Remote(_), Auth::TokenFile) => Ok(()),
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
