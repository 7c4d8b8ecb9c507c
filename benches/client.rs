//! Gets per second, ours beside Microsoft's Rust client, against one embedded vault on loopback https.
//!
//! `cargo bench --bench client`; on two shared CPUs ours was 1.0 to 1.1 times as fast with 1 in flight, 1.4 with 64.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use akvfs::auth::{Credential, SignIn};
use akvfs::emulator::Emulator;
use akvfs::vault::http::{HttpSettings, HttpVault};
use akvfs::vault::{SecretName, Vault};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, Transport};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::Secret;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures_util::{StreamExt, stream};
use url::Url;

const LASTS: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
const IN_FLIGHT: [usize; 2] = [1, 64];

#[derive(Debug)]
struct Fixed(String);

#[async_trait::async_trait]
impl TokenCredential for Fixed {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(self.0.clone(), OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

fn ours(url: &str, folder: &Path) -> HttpVault {
    let settings = HttpSettings {
        ca_bundle: Some(folder.join("ca.pem")),
        verify_resource: false,
        max_rps: u32::MAX,
        ..HttpSettings::of(Url::parse(url).unwrap())
    };
    HttpVault::new(settings, Credential::new(SignIn::TokenFile(folder.join("token"))).unwrap()).unwrap()
}

fn theirs(url: &str, ca: &str, token: String) -> SecretClient {
    let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let client_options = ClientOptions { transport: Some(Transport::new(Arc::new(http))), ..Default::default() };
    let options = SecretClientOptions { client_options, verify_challenge_resource: Some(false), ..Default::default() };
    SecretClient::new(url, Arc::new(Fixed(token)), Some(options)).unwrap()
}

/// How often a second a get comes to its end, so many at a time.
async fn rate<F: Future<Output = ()>>(in_flight: usize, get: impl Fn() -> F) -> f64 {
    get().await; // the challenge and the first connection
    let start = Instant::now();
    let gets = stream::repeat_with(&get).take_while(|_| std::future::ready(start.elapsed() < LASTS));
    let done = gets.buffer_unordered(in_flight).count().await;
    f64::from(u32::try_from(done).unwrap()) / start.elapsed().as_secs_f64()
}

fn main() {
    // A runtime of its own for the vault: the clients are to be measured, not the sharing of threads.
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, runtime) = (runtime(), runtime());
    let emulator = Emulator::in_memory("bench");
    emulator.put("db", "hunter2".into()).unwrap();
    let serving = server.block_on(emulator.serve_tls(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
    let (ca, token) = (serving.ca_pem().unwrap(), emulator.issue_token(Duration::from_secs(3600)));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
    std::fs::write(folder.path().join("token"), &token).unwrap();
    println!("{:>9} {:>14} {:>14} {:>6}", "in flight", "akvfs gets/s", "azure gets/s", "ratio");
    for in_flight in IN_FLIGHT {
        for _ in 0..ROUNDS {
            let (ours, theirs) = (ours(serving.url(), folder.path()), theirs(serving.url(), ca, token.clone()));
            let name = SecretName::parse("db").unwrap();
            let one = runtime.block_on(rate(in_flight, async || {
                assert_eq!(ours.get(&name, None).await.unwrap().unwrap().value.expose(), b"hunter2");
            }));
            let other = runtime.block_on(rate(in_flight, async || {
                let secret: Secret = theirs.get_secret("db", None).await.unwrap().into_model().unwrap();
                assert_eq!(secret.value.as_deref(), Some("hunter2"));
            }));
            println!("{in_flight:9} {one:14.0} {other:14.0} {:6.2}", one / other);
        }
    }
}
