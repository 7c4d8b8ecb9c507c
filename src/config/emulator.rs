//! What the flags of `akvfs emulator` mean.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{LocalStore, UsageError, absolute, absolute_if_given};
use crate::cli::{EmulatorArgs, SignIn, SignInArgs};
use crate::emulator::{AccessModel, Options, Permission};

/// Any free port.
const SOMEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Everything `akvfs emulator` needs to know.
#[derive(Clone, Debug)]
pub struct EmulatorConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Where the vault is kept; `None` for memory.
    pub store: Option<LocalStore>,
    /// How the vault treats deletion, and words refusals.
    pub options: Options,
    /// Whether to fill the vault with examples.
    pub demo: bool,
    /// How clients come to a token.
    pub sign_in: SignInConfig,
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
    /// http on a loopback address.
    Http(SocketAddr),
    /// http on a Unix socket.
    Unix(PathBuf),
}

/// How clients come to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInConfig {
    /// Whether an application signs in by a client secret.
    pub client_secret: bool,
    /// Whether an application signs in by a federated token.
    pub workload_identity: bool,
    /// Whether there is a managed identity as App Service offers it.
    pub app_service: bool,
    /// Whether there is a managed identity as virtual machines offer it.
    pub imds: bool,
    /// Where the managed identity is offered.
    pub identity_listen: SocketAddr,
    /// What every token allows.
    pub permissions: Vec<Permission>,
}

impl EmulatorConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &EmulatorArgs) -> Result<EmulatorConfig, UsageError> {
        let listen = match (&args.unix, args.http) {
            (Some(path), _) => Listen::Unix(absolute(path)?),
            (None, Some(address)) => Listen::Http(address),
            (None, None) => Listen::Tls(args.listen.unwrap_or(SOMEWHERE)),
        };
        let path = |given: &Option<PathBuf>| absolute_if_given(given.as_deref());
        let (store, key_file) = (path(&args.store)?, path(&args.key_file)?);
        let (control, ca_out, token_out) = (path(&args.control)?, path(&args.ca_out)?, path(&args.token_out)?);
        let store = match (store, key_file) {
            (Some(directory), key_file) => Some(LocalStore::in_folder(directory, key_file)),
            (None, Some(_)) => return Err(UsageError::NothingToOpen("give it with --store DIR")),
            (None, None) => None,
        };
        let sign_in = sign_in(&args.sign_in, &listen)?;
        let (options, demo) = (options(args)?, args.demo);
        Ok(EmulatorConfig { listen, store, options, demo, sign_in, control, ca_out, token_out })
    }
}

fn options(args: &EmulatorArgs) -> Result<Options, UsageError> {
    if let Some(days) = args.retention_days.filter(|days| !(7..=90).contains(days)) {
        return Err(UsageError::Retention(days));
    }
    let delays = if args.realistic { Options::realistic() } else { Options::default() };
    Ok(Options {
        retention_days: args.retention_days,
        purge_protection: args.purge_protection,
        deletion_delay: args.deletion_delay.unwrap_or(delays.deletion_delay),
        recovery_delay: args.recovery_delay.unwrap_or(delays.recovery_delay),
        purge_delay: args.purge_delay.unwrap_or(delays.purge_delay),
        access: if args.sign_in.rbac { AccessModel::Rbac } else { AccessModel::Policy },
        ..delays
    })
}

fn sign_in(args: &SignInArgs, listen: &Listen) -> Result<SignInConfig, UsageError> {
    let by = |method| args.sign_in.contains(&method);
    let sign_in = SignInConfig {
        client_secret: by(SignIn::ClientSecret),
        workload_identity: by(SignIn::WorkloadIdentity),
        app_service: by(SignIn::AppService),
        imds: by(SignIn::Imds),
        identity_listen: args.identity_listen.unwrap_or(SOMEWHERE),
        permissions: permissions(args.permissions.as_deref())?,
    };
    match listen {
        Listen::Http(_) | Listen::Unix(_) if sign_in.client_secret => Err(UsageError::SignInInClear("client-secret")),
        Listen::Http(_) | Listen::Unix(_) if sign_in.workload_identity => {
            Err(UsageError::SignInInClear("workload-identity"))
        }
        _ if args.identity_listen.is_some() && !sign_in.app_service && !sign_in.imds => {
            Err(UsageError::NoManagedIdentity)
        }
        _ => Ok(sign_in),
    }
}

fn permissions(names: Option<&[String]>) -> Result<Vec<Permission>, UsageError> {
    let Some(names) = names else { return Ok(Permission::ALL.to_vec()) };
    let parse = |name: &String| Permission::parse(name).ok_or_else(|| UsageError::Permission(name.clone()));
    names.iter().filter(|name| !name.is_empty()).map(parse).collect()
}
