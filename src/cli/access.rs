//! Flags that say how to reach a vault, and how to sign in to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// How to reach a vault.
#[derive(Args, Debug, Clone)]
pub struct AccessArgs {
    /// After how long a call that waits for the vault ends with ETIMEDOUT
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Vault")]
    pub deadline: Duration,
    /// The cloud of a vault that is given by its name alone
    #[arg(long, value_name = "CLOUD", default_value = "public", help_heading = "Vault")]
    pub cloud: Cloud,
    /// Trust these certificate authorities (PEM) besides the system's
    #[arg(long, value_name = "FILE", help_heading = "Vault")]
    pub ca_bundle: Option<PathBuf>,
    /// Send the token even if the vault names a resource that is not its parent domain
    #[arg(long, help_heading = "Vault")]
    pub no_verify_challenge_resource: bool,
    /// The file with the key of a local: vault, 64 hexadecimal digits [default: the systemd credential
    /// akvfs-key, or else a file made beside the vault, which protects copies of the vault alone]
    #[arg(long, value_name = "FILE", help_heading = "Vault")]
    pub key_file: Option<PathBuf>,
    /// Version of the REST API to speak
    #[arg(long, value_name = "VERSION", default_value = "2025-07-01", help_heading = "Vault")]
    pub api_version: String,
    /// Ask the vault no more than so many times a second, after a first 1,000
    #[arg(long, value_name = "NUMBER", default_value_t = 100, help_heading = "Vault")]
    pub max_rps: u32,
    /// Ask for so many entries in a page of a listing, 1 to 25 [default: as many as the vault likes]
    #[arg(long, value_name = "NUMBER", help_heading = "Vault")]
    pub page_size: Option<u8>,
    /// How to sign in.
    #[command(flatten)]
    pub auth: AuthArgs,
}

/// How to sign in.
#[derive(Args, Debug, Clone)]
pub struct AuthArgs {
    /// How to sign in
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Signing in")]
    pub auth: Auth,
    /// A file with a bearer token for the vault; read again when it changes
    #[arg(long, value_name = "FILE", help_heading = "Signing in")]
    pub token_file: Option<PathBuf>,
    /// The application, or which of several managed identities: its client id, or a resource id
    #[arg(long, value_name = "ID", env = "AZURE_CLIENT_ID", help_heading = "Signing in")]
    pub client_id: Option<String>,
    /// The tenant to sign in to, where the vault does not name its own
    #[arg(long, value_name = "ID", env = "AZURE_TENANT_ID", help_heading = "Signing in")]
    pub tenant_id: Option<String>,
    /// A file with the application's secret [default: the systemd credential azure-client-secret, or
    /// else the variable AZURE_CLIENT_SECRET]; read for every sign-in
    #[arg(long, value_name = "FILE", help_heading = "Signing in")]
    pub client_secret_file: Option<PathBuf>,
    /// A PEM file with the application's RSA key and certificate [default: the systemd credential
    /// azure-client-certificate, or else the file that AZURE_CLIENT_CERTIFICATE_PATH names]; read for
    /// every sign-in
    #[arg(long, value_name = "FILE", help_heading = "Signing in")]
    pub client_certificate: Option<PathBuf>,
}

/// How to sign in to the vault.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The first of those below of which there is a sign: token-file, client-secret,
    /// client-certificate, workload-identity, managed-identity, azure-cli, azure-developer-cli. Only
    /// that one is tried
    Auto,
    /// A bearer token from the file that --token-file names
    TokenFile,
    /// An application and its secret
    ClientSecret,
    /// An application and its certificate
    ClientCertificate,
    /// An application and the token in the file that AZURE_FEDERATED_TOKEN_FILE names, as in
    /// Kubernetes
    WorkloadIdentity,
    /// The identity that Azure gives to this virtual machine or service
    ManagedIdentity,
    /// Who is signed in to `az`
    AzureCli,
    /// Who is signed in to `azd`
    AzureDeveloperCli,
}

/// A cloud of Azure's.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// vault.azure.net
    Public,
    /// vault.azure.cn
    China,
    /// vault.usgovcloudapi.net
    Usgov,
}
