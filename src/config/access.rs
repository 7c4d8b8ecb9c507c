//! How to reach a vault: which one, how to sign in, and within which limits.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::sign_in::{self, Surroundings};
use super::vault_address::VaultAddress;
use super::{LocalStore, UsageError, absolute_if_given};
use crate::auth::SignIn;
use crate::cli::AccessArgs;

/// Which vault, and what it takes to get in.
#[derive(Clone, Debug)]
pub enum VaultConfig {
    /// One behind https.
    Remote {
        /// Scheme, host and port.
        url: Url,
        /// How to sign in.
        sign_in: Box<SignIn>,
        /// Why in that way.
        because: String,
    },
    /// The embedded vault, in memory and full of examples.
    Demo,
    /// The embedded vault of this name, kept on disk.
    Local(String, LocalStore),
}

/// Everything that it takes to reach a vault.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// Which vault.
    pub vault: VaultConfig,
    /// As the vault is shown in tables and logs.
    pub source: String,
    /// Time limit of every call.
    pub deadline: Duration,
    /// Version of the REST API.
    pub api_version: String,
    /// Whether the challenge's resource must be a parent domain of the vault's host.
    pub verify_resource: bool,
    /// More certificate authorities to trust.
    pub ca_bundle: Option<PathBuf>,
    /// Requests a second, in the long run.
    pub max_rps: u32,
    /// Entries in a page of a listing.
    pub page_size: Option<u8>,
}

impl AccessConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(given: &str, args: &AccessArgs) -> Result<AccessConfig, UsageError> {
        let address = VaultAddress::parse(given, args.cloud)?;
        let source = address.to_string();
        let vault = vault(args, address)?;
        check_values(args)?;
        Ok(AccessConfig {
            vault,
            source,
            deadline: args.deadline,
            api_version: args.api_version.clone(),
            verify_resource: !args.no_verify_challenge_resource,
            ca_bundle: absolute_if_given(args.ca_bundle.as_deref())?,
            max_rps: args.max_rps,
            page_size: args.page_size,
        })
    }
}

fn vault(args: &AccessArgs, address: VaultAddress) -> Result<VaultConfig, UsageError> {
    let key_file = absolute_if_given(args.key_file.as_deref())?;
    if key_file.is_some() && !matches!(address, VaultAddress::Local(_)) {
        return Err(UsageError::NothingToOpen("give it with local: or local:NAME"));
    }
    match address {
        VaultAddress::Remote(url) => {
            let (sign_in, because) = sign_in::choose(&args.auth, &url, &Surroundings::of_this_process())?;
            Ok(VaultConfig::Remote { url, sign_in: Box::new(sign_in), because })
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
fn embedded(args: &AccessArgs) -> Result<(), UsageError> {
    let useless = [
        (args.auth.token_file.is_some(), "--token-file"),
        (args.auth.client_secret_file.is_some(), "--client-secret-file"),
        (args.auth.client_certificate.is_some(), "--client-certificate"),
        (args.ca_bundle.is_some(), "--ca-bundle"),
        (args.no_verify_challenge_resource, "--no-verify-challenge-resource"),
    ];
    match useless.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(UsageError::NotForEmbedded(flag)),
        None => Ok(()),
    }
}

fn check_values(args: &AccessArgs) -> Result<(), UsageError> {
    if args.deadline.is_zero() {
        return Err(UsageError::NoDeadline);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if args.api_version.is_empty() || !args.api_version.bytes().all(legal) {
        return Err(UsageError::ApiVersion(args.api_version.clone()));
    }
    if args.max_rps == 0 {
        return Err(UsageError::NoRequests);
    }
    match args.page_size {
        Some(size) if !(1..=25).contains(&size) => Err(UsageError::PageSize(size)),
        _ => Ok(()),
    }
}
