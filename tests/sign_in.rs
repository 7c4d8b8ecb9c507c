//! A client that goes on for long: tokens that expire or are refused, secrets that rotate, identity
//! endpoints that come up late and vaults that move, against the embedded vault's own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use akvfs::auth::{ApplicationSettings, Credential, SecretPlace, SignIn};
use akvfs::emulator::{AppCredential, Application, Emulator, Fault, ManagedIdentity, Operation, Permission, Serving};
use akvfs::vault::http::{HttpSettings, HttpVault};
use akvfs::vault::{SecretName, TokenRefusal, Vault, VaultError, VaultErrorKind};
use tokio::net::TcpListener;
use url::Url;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SECOND: Duration = Duration::from_secs(1);

/// A vault behind https with one secret, at which one application can sign in.
struct World {
    emulator: Emulator,
    serving: Serving,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let emulator = Emulator::in_memory("sign-in");
        emulator.put("db", "hunter2".into()).unwrap();
        emulator.register(Application {
            client_id: "app".to_owned(),
            credentials: vec![AppCredential::Secret("good".to_owned().into())],
            permissions: vec![Permission::Get],
        });
        let serving = emulator.serve_tls(LOOPBACK).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), serving.ca_pem().unwrap()).unwrap();
        fs::write(folder.path().join("secret"), "good").unwrap();
        World { emulator, serving, folder }
    }

    fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    fn client(&self, sign_in: SignIn) -> HttpVault {
        let settings = HttpSettings {
            ca_bundle: Some(self.folder.path().join("ca.pem")),
            verify_resource: false,
            ..HttpSettings::of(Url::parse(self.serving.url()).unwrap())
        };
        HttpVault::new(settings, Credential::new(sign_in).unwrap()).unwrap()
    }

    fn application(&self) -> HttpVault {
        let authority = Url::parse(self.serving.url()).unwrap();
        let application = ApplicationSettings { authority, tenant: None, client_id: "app".to_owned() };
        self.client(SignIn::ClientSecret { application, secret: SecretPlace::File(self.secret()) })
    }
}

async fn read(vault: &HttpVault) -> Result<Vec<u8>, VaultError> {
    let found = vault.get(&SecretName::parse("db").unwrap(), None).await?;
    Ok(found.unwrap().value.expose().to_vec())
}

/// Tokens of one second are the same token: the next one has to be another.
fn next_second(world: &World) {
    world.emulator.clock().advance(SECOND);
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced_without_a_word() {
    let world = World::new().await;
    let vault = world.application();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    world.emulator.clock().advance(Duration::from_secs(2 * 3600));
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
}

#[tokio::test]
async fn a_secret_that_goes_bad_does_no_harm_until_a_token_is_needed_and_a_new_one_is_found() {
    let world = World::new().await;
    let vault = world.application();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    fs::write(world.secret(), "bad").unwrap();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    world.emulator.faults().queue(Fault::ExpiredToken.on(Operation::GetSecret));
    let error = read(&vault).await.unwrap_err();
    assert!(error.to_string().contains("AADSTS7000215"), "{error}");
    fs::write(world.secret(), "good").unwrap();
    next_second(&world);
    let found = async {
        while read(&vault).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await; // between two looks at the condition
        }
    };
    tokio::time::timeout(30 * SECOND, found).await.unwrap();
}

#[tokio::test]
async fn a_claims_challenge_is_answered_with_a_token_that_has_them() {
    let world = World::new().await;
    let vault = world.application();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}"#;
    let challenge = Fault::ClaimsChallenge(claims.to_owned()).on(Operation::GetSecret);
    world.emulator.faults().queue(challenge.times(u32::MAX));
    world.emulator.clear_requests();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    let answered: Vec<_> = world.emulator.requests().iter().map(|seen| seen.status).collect();
    assert_eq!(answered, [401, 200, 200].map(Some));
}

#[tokio::test]
async fn a_vault_that_moves_to_another_tenant_is_followed() {
    let world = World::new().await;
    let vault = world.application();
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    for tenant in ["11111111-2222-4333-8444-555555555555", "66666666-7777-4888-9999-aaaaaaaaaaaa"] {
        world.emulator.move_to_tenant(tenant);
        world.emulator.clear_requests();
        assert_eq!(read(&vault).await.unwrap(), b"hunter2");
        assert_eq!(read(&vault).await.unwrap(), b"hunter2");
        let answered: Vec<_> = world.emulator.requests().iter().map(|seen| seen.status).collect();
        assert_eq!(answered, [401, 200, 200].map(Some), "the old tenant's token once, then the new one's");
    }
}

#[tokio::test]
async fn a_credential_that_cannot_follow_says_which_tenant_is_wanted() {
    let world = World::new().await;
    let token = world.emulator.issue_token(Duration::from_secs(3600));
    fs::write(world.folder.path().join("token"), token).unwrap();
    let vault = world.client(SignIn::TokenFile(world.folder.path().join("token")));
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    world.emulator.move_to_tenant("11111111-2222-4333-8444-555555555555");
    let kind = read(&vault).await.unwrap_err().kind;
    assert_eq!(kind, VaultErrorKind::Unauthenticated(TokenRefusal::Tenant));
}

#[tokio::test]
async fn a_refused_token_is_not_sent_again() {
    let world = World::new().await;
    fs::write(world.folder.path().join("token"), world.emulator.issue_token(Duration::from_secs(3600))).unwrap();
    let vault = world.client(SignIn::TokenFile(world.folder.path().join("token")));
    assert_eq!(read(&vault).await.unwrap(), b"hunter2");
    world.emulator.clear_requests();
    world.emulator.faults().queue(Fault::ExpiredToken.on(Operation::GetSecret).times(u32::MAX));
    for _ in 0..3 {
        let kind = read(&vault).await.unwrap_err().kind;
        assert!(matches!(kind, VaultErrorKind::Unauthenticated(TokenRefusal::Unsaid)), "{kind:?}");
    }
    let answered: Vec<_> = world.emulator.requests().iter().map(|seen| seen.status).collect();
    assert!(answered.len() <= 4, "{answered:?}: one with the token, and challenges without one");
}

#[tokio::test]
async fn an_identity_endpoint_that_comes_up_late_is_waited_for() {
    let world = World::new().await;
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Url::parse(&format!("http://{address}")).unwrap();
    let vault = world.client(SignIn::VirtualMachine { endpoint, identity: None });
    let reading = tokio::spawn(async move { read(&vault).await });
    drop(listener.accept().await.unwrap()); // the first try meets somebody who hangs up
    drop(listener);
    let identity = ManagedIdentity {
        client_id: "identity".to_owned(),
        permissions: vec![Permission::Get],
        identity_header: None,
        imds: true,
    };
    let _serving = world.emulator.serve_managed_identity(address, identity).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), b"hunter2");
}
