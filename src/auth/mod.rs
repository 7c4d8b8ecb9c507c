//! The token that the vault's REST API wants to see, and where it comes from.
//!
//! Owns the credential and the one copy of its token: [`SignIn`] says which of the ways to sign in is
//! meant, [`Credential`] holds what it takes, and [`TokenProvider`] keeps the token fresh. Refuses to
//! judge whom a token may be sent to: that is settled before it is asked for.
//!
//! The ways to sign in are our own code: `azure_identity` 1.0 carries neither claims nor a challenge's
//! tenant, keeps a token cache of its own that hands out a refused token again, and needs OpenSSL for
//! certificates.

mod application;
mod backoff;
mod certificate;
mod command;
mod managed_identity;
mod provider;
mod small_file;
mod token;
mod token_file;

use std::path::PathBuf;

use reqwest::Client;
use url::Url;

use crate::sys::{SecretBytes, take_from_environment};
use application::{Application, Proof};
use command::Tool;
use managed_identity::Endpoint;
use provider::Source;
use small_file::SmallFile;
use token_file::TokenFile;

pub(crate) use application::cause;
pub use backoff::{Backoff, jittered};
pub use provider::TokenProvider;
pub use token::{Scope, Token};

/// A way to sign in, and what it takes, save secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// A token that somebody else keeps in a file.
    TokenFile(PathBuf),
    /// An application with a secret.
    ClientSecret {
        /// Which application, and where.
        application: ApplicationSettings,
        /// Where its secret is.
        secret: SecretPlace,
    },
    /// An application with a certificate: a PEM file of key and certificate.
    ClientCertificate {
        /// Which application, and where.
        application: ApplicationSettings,
        /// The PEM file.
        path: PathBuf,
    },
    /// An application with a token that Kubernetes, or another issuer that it trusts, keeps in a file.
    WorkloadIdentity {
        /// Which application, and where.
        application: ApplicationSettings,
        /// The issuer's token.
        token_file: PathBuf,
    },
    /// The identity of a virtual machine, which its metadata service signs in.
    VirtualMachine {
        /// The metadata service.
        endpoint: Url,
        /// Which identity, if there are several: a client id, or a resource id that begins with `/`.
        identity: Option<String>,
    },
    /// The identity of an App Service, function or container app.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        endpoint: Url,
        /// Which identity, as for a virtual machine.
        identity: Option<String>,
    },
    /// Who is signed in to the Azure CLI.
    AzureCli {
        /// Asked for where the vault does not name its tenant.
        tenant: Option<String>,
    },
    /// Who is signed in to the Azure Developer CLI.
    AzureDeveloperCli {
        /// Asked for where the vault does not name its tenant.
        tenant: Option<String>,
    },
}

/// An application registered in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSettings {
    /// The authority's host, which alone gets what proves the identity; a challenge does not change it.
    pub authority: Url,
    /// Asked for where the vault does not name its tenant.
    pub tenant: Option<String>,
    /// `AZURE_CLIENT_ID`.
    pub client_id: String,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file, which is read for every sign-in.
    File(PathBuf),
    /// In `AZURE_CLIENT_SECRET`, from where it is taken once and for all.
    Environment,
}

const CLIENT_SECRET: &std::ffi::CStr = c"AZURE_CLIENT_SECRET";
const IDENTITY_HEADER: &std::ffi::CStr = c"IDENTITY_HEADER";

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {error}")]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// As given.
        path: String,
        /// What the system said.
        error: String,
    },
    /// A file, or an answer, holds nothing that could be used.
    #[error("{0}")]
    Unusable(String),
    /// Who signs in was refused; says by whom, why and what to do.
    #[error("{0}")]
    Refused(String),
    /// Who should sign in does not answer, or has trouble; says who.
    #[error("{0}")]
    Unreachable(String),
    /// The credential has no other token than the one that the vault has refused.
    #[error("the vault has refused the token, and {0} has no other")]
    SameAgain(&'static str),
}

impl AuthError {
    /// Whether time alone may mend it.
    fn is_passing(&self) -> bool {
        matches!(self, AuthError::Unreachable(_))
    }
}

/// Issues tokens in this process, for a vault that lives in it too.
pub type Issuer = Box<dyn Fn() -> String + Send + Sync>;

/// What it takes to get tokens, secrets included.
pub struct Credential(Kind);

enum Kind {
    File(TokenFile),
    Issued(Issuer),
    Application(ApplicationSettings, Proof),
    ManagedIdentity(Endpoint),
    Tool(Tool, Option<String>),
}

impl Credential {
    /// Gathers what the way to sign in takes. What comes from the environment is removed from there:
    /// call this before the process has threads.
    ///
    /// # Errors
    /// Where a variable that it takes is not set.
    pub fn new(sign_in: SignIn) -> Result<Credential, AuthError> {
        Ok(Credential(match sign_in {
            SignIn::TokenFile(path) => Kind::File(TokenFile::new(path)),
            SignIn::ClientSecret { application, secret } => {
                let proof = match secret {
                    SecretPlace::File(path) => Proof::SecretFile(SmallFile::new("the client secret", path)),
                    SecretPlace::Environment => Proof::Secret(taken(CLIENT_SECRET)?),
                };
                Kind::Application(application, proof)
            }
            SignIn::ClientCertificate { application, path } => {
                Kind::Application(application, Proof::Certificate(SmallFile::new("the client certificate", path)))
            }
            SignIn::WorkloadIdentity { application, token_file } => {
                Kind::Application(application, Proof::Assertion(SmallFile::new("the federated token", token_file)))
            }
            SignIn::VirtualMachine { endpoint, identity } => {
                Kind::ManagedIdentity(Endpoint::VirtualMachine { endpoint, identity })
            }
            SignIn::AppService { endpoint, identity } => {
                let header = taken(IDENTITY_HEADER)?;
                Kind::ManagedIdentity(Endpoint::AppService { endpoint, header, identity })
            }
            SignIn::AzureCli { tenant } => Kind::Tool(Tool::AzureCli, tenant),
            SignIn::AzureDeveloperCli { tenant } => Kind::Tool(Tool::AzureDeveloperCli, tenant),
        }))
    }

    /// Tokens that are issued in this process.
    pub fn issued(issuer: Issuer) -> Credential {
        Credential(Kind::Issued(issuer))
    }

    /// Keeps a token of this credential fresh. The authority is reached through the given client;
    /// managed identities have one of their own, without a proxy.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn provider(self, client: &Client) -> Result<TokenProvider, reqwest::Error> {
        let source: Box<dyn Source> = match self.0 {
            Kind::File(file) => Box::new(file),
            Kind::Issued(issuer) => Box::new(token::Issued(issuer)),
            Kind::Application(settings, proof) => Box::new(Application::new(client.clone(), settings, proof)),
            Kind::ManagedIdentity(endpoint) => Box::new(endpoint.source()?),
            Kind::Tool(tool, tenant) => Box::new(command::Command::new(tool, tenant)),
        };
        Ok(TokenProvider::new(source))
    }
}

fn taken(variable: &std::ffi::CStr) -> Result<SecretBytes, AuthError> {
    let unset = || AuthError::Unusable(format!("{} is not set", variable.to_string_lossy()));
    take_from_environment(variable).filter(|value| !value.is_empty()).ok_or_else(unset)
}
