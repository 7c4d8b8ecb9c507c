//! README's example in Rust, word for word.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::Secret;
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use azure_security_keyvault_secrets::models::SetSecretParameters;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};

pub(crate) async fn value_from_emulator(akvfs: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let mut emulator = Command::new(akvfs);
    let mut emulator = emulator.args(["emulator", "--sign-in", "client-secret"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(emulator.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let line: serde_json::Value = serde_json::from_str(&line)?;
    let told = |key: &str| line[key].as_str().unwrap_or_default().to_owned();

    let ca = reqwest::Certificate::from_pem(&std::fs::read(told("ca"))?)?;
    let http = Arc::new(reqwest::Client::builder().tls_certs_only([ca]).build()?);
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = told("authority");
    let client_options = ClientOptions {
        transport: Some(Transport::new(http)),
        cloud: Some(Arc::new(cloud.into())),
        ..Default::default()
    };
    let secret = Secret::new(std::fs::read_to_string(told("client_secret_file"))?);
    let sign_in = ClientSecretCredentialOptions { client_options: client_options.clone() };
    let credential = ClientSecretCredential::new(&told("tenant_id"), told("client_id"), secret, Some(sign_in))?;
    let options = SecretClientOptions { client_options, verify_challenge_resource: Some(false), ..Default::default() };
    let client = SecretClient::new(&told("url"), credential, Some(options))?;

    let new = SetSecretParameters { value: Some("value".to_owned()), ..Default::default() };
    client.set_secret("name", new.try_into()?, None).await?;
    let secret = client.get_secret("name", None).await?.into_model()?;
    emulator.kill()?;
    emulator.wait()?;
    Ok(secret.value)
}
