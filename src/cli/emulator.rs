//! The flags of `akvfs emulator`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The flags of `akvfs emulator`.
#[derive(Args, Debug, Clone)]
#[command(after_help = "\
When it is ready it prints one line of JSON, {\"url\":…,\"ca\":…,\"token_file\":…}, and runs until SIGTERM
or Ctrl-C. Every client needs a token; https ones need the certificate authority as well:
  akvfs mount URL DIR --ca-bundle CA --token-file TOKEN --no-verify-challenge-resource")]
pub struct EmulatorArgs {
    /// Serve https on this loopback address; port 0 picks one [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["unix", "http"])]
    pub listen: Option<SocketAddr>,
    /// Serve http on this loopback address instead, for clients that take no certificate authority
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "unix")]
    pub http: Option<SocketAddr>,
    /// Serve http on this Unix socket instead, which only its owner may use
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// Keep everything in memory: gone at the end [default]
    #[arg(long, conflicts_with = "store")]
    pub in_memory: bool,
    /// Keep everything in this folder, encrypted
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// The file with the store's key, 64 hexadecimal digits [default: as for `akvfs mount local:`]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Fill the vault with examples
    #[arg(long)]
    pub demo: bool,
    /// From a delete until the secret shows among the deleted ones [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Deletion")]
    pub deletion_delay: Option<Duration>,
    /// From a recovery or restore until the secret can be read [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Deletion")]
    pub recovery_delay: Option<Duration>,
    /// From a purge until the name can be used again [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Deletion")]
    pub purge_delay: Option<Duration>,
    /// Take as long as the real service does: 17 s to delete, 19 s to recover, 20 s to free a purged name
    #[arg(long, help_heading = "Deletion")]
    pub realistic: bool,
    /// For how many days a deleted secret can be recovered, 7 to 90; a kept vault has it from when it was made
    /// [default: 90]
    #[arg(long, value_name = "DAYS", help_heading = "Deletion")]
    pub retention_days: Option<u32>,
    /// Refuse to purge deleted secrets before their time; a kept vault never loses it again
    #[arg(long, help_heading = "Deletion")]
    pub purge_protection: bool,
    /// Who may do what, and how clients come to a token.
    #[command(flatten)]
    pub sign_in: SignInArgs,
    /// Take faults and clock changes on this Unix socket, which only its owner may use
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Write the certificate authority (PEM) to this file
    #[arg(long, value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// Write a token to this file, readable by its owner only, and keep it fresh
    #[arg(long, value_name = "FILE")]
    pub token_out: Option<PathBuf>,
}

/// The flags that say who may do what, and how clients come to a token.
#[derive(Args, Debug, Clone)]
pub struct SignInArgs {
    /// Let clients sign in as they would in Azure; the line says where, and which files hold the secrets
    #[arg(long, value_name = "METHOD", value_delimiter = ',', help_heading = "Signing in")]
    pub sign_in: Vec<SignIn>,
    /// Serve the managed identity of app-service and imds on this loopback address [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Signing in")]
    pub identity_listen: Option<SocketAddr>,
    /// What every token allows, of get, list, set, delete, recover, backup, restore, purge [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Signing in")]
    pub permissions: Option<Vec<String>>,
    /// Refuse as a vault under role-based access control does, instead of one with access policies
    #[arg(long, help_heading = "Signing in")]
    pub rbac: bool,
}

/// A way in which clients sign in.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// An application with a client secret
    ClientSecret,
    /// An application with a federated token, as pods have it
    WorkloadIdentity,
    /// A managed identity, as App Service offers it
    AppService,
    /// A managed identity, as virtual machines offer it: every local user can get a token
    Imds,
}
