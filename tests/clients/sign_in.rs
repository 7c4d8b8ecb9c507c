//! Microsoft's own credentials sign in at the emulator's endpoints: azure_identity in Rust, azure-identity in Python.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_secrets::models::SetSecretParameters;

use crate::rust::{client_of, refusal, trusting};
use crate::script::{passes, python, script};
use crate::support::shown;
use crate::vault::{Kind, Vault};

fn vault(flags: &[&str]) -> Vault {
    Vault::of(Kind::Prompt, flags)
}

/// The credential gets a token, and the token opens the vault.
async fn opens(vault: &Vault, credential: Arc<dyn TokenCredential>) {
    let client = client_of(vault, credential);
    let parameters = SetSecretParameters { value: Some("value".to_owned()), ..Default::default() };
    client.set_secret("signed-in", parameters.try_into().unwrap(), None).await.unwrap();
    let got = client.get_secret("signed-in", None).await.unwrap().into_model().unwrap();
    assert_eq!(got.value.as_deref(), Some("value"));
}

/// Sign-ins go to the emulator instead of Entra ID.
fn at_the_emulator(vault: &Vault) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = vault.text("authority").to_owned();
    let cloud = Some(Arc::new(CloudConfiguration::from(cloud)));
    ClientOptions { cloud, transport: Some(Transport::new(Arc::new(trusting(vault)))), ..Default::default() }
}

fn by_secret(vault: &Vault, secret: String) -> Arc<ClientSecretCredential> {
    let (tenant, client) = (vault.text("tenant_id"), vault.text("client_id").to_owned());
    let options = ClientSecretCredentialOptions { client_options: at_the_emulator(vault) };
    ClientSecretCredential::new(tenant, client, Secret::new(secret), Some(options)).unwrap()
}

#[tokio::test]
async fn an_application_signs_in_by_client_secret() {
    let vault = vault(&["--sign-in", "client-secret"]);
    opens(&vault, by_secret(&vault, vault.content("client_secret_file"))).await;
    let guess = by_secret(&vault, "a guess".to_owned());
    let refused = guess.get_token(&["https://vault.azure.net/.default"], None).await.unwrap_err();
    assert!(refused.to_string().contains("AADSTS7000215"), "{refused}");
}

#[tokio::test]
async fn what_tokens_allow_is_what_the_flag_says() {
    let vault = vault(&["--sign-in", "client-secret", "--permissions", "set,list", "--rbac"]);
    let client = client_of(&vault, by_secret(&vault, vault.content("client_secret_file")));
    let parameters = SetSecretParameters { value: Some("value".to_owned()), ..Default::default() };
    client.set_secret("a", parameters.try_into().unwrap(), None).await.unwrap();
    let refused = refusal(client.get_secret("a", None).await);
    assert_eq!(refused, (403, "ForbiddenByRbac".to_owned()));
}

#[derive(Debug)]
struct Held(String);

#[async_trait::async_trait]
impl ClientAssertion for Held {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn an_application_signs_in_by_client_assertion() {
    let vault = vault(&["--sign-in", "workload-identity"]);
    let (tenant, client) = (vault.text("tenant_id").to_owned(), vault.text("client_id").to_owned());
    let options = ClientAssertionCredentialOptions { client_options: at_the_emulator(&vault) };
    let assertion = Held(vault.content("federated_token_file"));
    opens(&vault, ClientAssertionCredential::new(tenant, client, assertion, Some(options)).unwrap()).await;
}

#[tokio::test]
async fn a_pod_signs_in_by_workload_identity() {
    let vault = vault(&["--sign-in", "workload-identity,client-secret"]);
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options: at_the_emulator(&vault) },
        client_id: Some(vault.text("client_id").to_owned()),
        tenant_id: Some(vault.text("tenant_id").to_owned()),
        token_file_path: Some(vault.text("federated_token_file").into()),
    };
    opens(&vault, WorkloadIdentityCredential::new(Some(options)).unwrap()).await;
}

/// The address of a virtual machine's endpoint is fixed, so the emulator is its proxy.
#[tokio::test]
async fn a_virtual_machine_signs_in_by_managed_identity() {
    let vault = vault(&["--sign-in", "imds"]);
    let proxy = reqwest::Proxy::http(vault.text("imds")).unwrap();
    let http = reqwest::Client::builder().proxy(proxy).build().unwrap();
    let transport = Some(Transport::new(Arc::new(http)));
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: Some(UserAssignedId::ClientId(vault.text("client_id").to_owned())),
        client_options: ClientOptions { transport, ..Default::default() },
    };
    opens(&vault, ManagedIdentityCredential::new(Some(options)).unwrap()).await;
}

const WHERE: &str = "AKVFS_TEST_APP_SERVICE";

/// Not a test by itself: App Service says by the environment where its endpoint is, so the test below runs this in a
/// process of its own.
#[tokio::test]
async fn an_app_in_app_service() {
    let Ok(line) = std::env::var(WHERE) else { return };
    let vault = Vault::elsewhere(&line);
    opens(&vault, ManagedIdentityCredential::new(None).unwrap()).await;
}

#[test]
fn an_app_signs_in_by_managed_identity() {
    let vault = vault(&["--sign-in", "app-service"]);
    let mut app = Command::new(std::env::current_exe().unwrap());
    app.args(["--exact", "sign_in::an_app_in_app_service"]).env(WHERE, vault.line().to_string());
    app.env("IDENTITY_ENDPOINT", vault.text("identity_endpoint"));
    app.env("IDENTITY_HEADER", vault.content("identity_header_file"));
    let output = app.output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", shown(&output));
}

#[test]
fn pythons_credentials_sign_in() {
    let Some(python) = python() else { return };
    for method in ["client-secret", "workload-identity", "app-service", "imds"] {
        let vault = vault(&["--sign-in", method]);
        passes(Command::new(&python).arg(script("sign_in.py")).arg(method).arg(vault.line().to_string()));
    }
}

#[test]
fn no_secret_is_on_the_line() {
    let vault = vault(&["--sign-in", "client-secret,workload-identity,app-service,imds"]);
    let line = vault.line().to_string();
    for key in ["token_file", "client_secret_file", "federated_token_file", "identity_header_file"] {
        let file = fs::metadata(vault.text(key)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&file) & 0o777, 0o600, "{key}");
        assert!(!line.contains(vault.content(key).trim()), "{key}");
    }
}
