//! How clients of `akvfs emulator` come to a token, where it offers more than the token file: an
//! application and a managed identity, with secrets made anew at each start.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::SignInConfig;
use crate::emulator::{self, AppCredential, Application, Emulator, EmulatorError, ManagedIdentity, Serving, TokenSpec};

/// What Entra ID demands of tokens that pods sign in with.
const FEDERATION: &str = "api://AzureADTokenExchange";
/// A federated token is compared, not read, so it serves as long as the emulator runs.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a client has to be told, under a key of the line that says so.
pub(super) struct Fact {
    pub(super) key: &'static str,
    pub(super) is: Told,
}

/// How a client is told.
pub(super) enum Told {
    Openly(String),
    /// In a file of its own; the line names it.
    InAFile(Zeroizing<String>),
}

/// The ways in that are open; they close when this is dropped.
pub(super) struct SignIn {
    pub(super) facts: Vec<Fact>,
    _managed_identity: Option<Serving>,
}

impl SignIn {
    /// Opens the ways in that the configuration names, at the vault served at `url`.
    pub(super) async fn offer(vault: &Emulator, config: &SignInConfig, url: &str) -> Result<SignIn, EmulatorError> {
        let mut facts = Vec::new();
        let client_id = emulator::guid();
        let application = config.client_secret || config.workload_identity;
        if application {
            facts.push(openly("authority", url));
            facts.push(openly("tenant_id", &vault.tenant()));
            register(vault, config, &client_id, &mut facts);
        }
        let managed = config.app_service || config.imds;
        let serving = if managed { Some(serve(vault, config, &client_id, &mut facts).await?) } else { None };
        if application || managed {
            facts.push(openly("client_id", &client_id));
        }
        Ok(SignIn { facts, _managed_identity: serving })
    }
}

fn register(vault: &Emulator, config: &SignInConfig, client_id: &str, facts: &mut Vec<Fact>) {
    let mut credentials = Vec::new();
    if config.client_secret {
        let secret = emulator::secret();
        facts.push(in_a_file("client_secret_file", &secret));
        credentials.push(AppCredential::Secret(secret));
    }
    if config.workload_identity {
        let spec = TokenSpec { audience: FEDERATION.to_owned(), lifetime: FOR_EVER, ..TokenSpec::default() };
        let token = Zeroizing::new(vault.issue_token_for(&spec));
        facts.push(in_a_file("federated_token_file", &token));
        credentials.push(AppCredential::Assertion(token));
    }
    let (client_id, permissions) = (client_id.to_owned(), config.permissions.clone());
    vault.register(Application { client_id, credentials, permissions });
}

async fn serve(
    vault: &Emulator,
    config: &SignInConfig,
    client_id: &str,
    facts: &mut Vec<Fact>,
) -> Result<Serving, EmulatorError> {
    let identity_header = config.app_service.then(emulator::secret);
    let identity = ManagedIdentity {
        client_id: client_id.to_owned(),
        permissions: config.permissions.clone(),
        identity_header: identity_header.clone(),
        imds: config.imds,
    };
    let serving = vault.serve_managed_identity(config.identity_listen, identity).await?;
    if let Some(header) = identity_header {
        facts.push(openly("identity_endpoint", &format!("{}/msi/token", serving.url())));
        facts.push(in_a_file("identity_header_file", &header));
    }
    if config.imds {
        facts.push(openly("imds", serving.url()));
    }
    Ok(serving)
}

fn openly(key: &'static str, value: &str) -> Fact {
    Fact { key, is: Told::Openly(value.to_owned()) }
}

fn in_a_file(key: &'static str, secret: &Zeroizing<String>) -> Fact {
    Fact { key, is: Told::InAFile(secret.clone()) }
}
