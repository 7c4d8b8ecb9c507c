//! Gets per second, and allocations per get: ours beside Microsoft's Rust client, against one embedded vault on
//! loopback https, in turns.
//!
//! `cargo bench --bench client`; on two shared CPUs ours was 1.3 to 2.3 times as fast with 1 in flight, 1.2 to 1.5 with
//! 64, with 0.53 of the allocations and 0.8 of the bytes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod counting;

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
use counting::{Counting, Tally, count_this_thread};
use futures_util::{StreamExt, stream};
use tokio::runtime::Runtime;
use url::Url;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// What gets cost.
struct Cost {
    gets_per_second: f64,
    allocations_per_get: f64,
    bytes_per_get: f64,
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
async fn cost<F: Future<Output = ()>>(in_flight: usize, get: impl Fn() -> F) -> Cost {
    get().await; // the challenge and the first connection
    let (start, before) = (Instant::now(), Tally::now());
    let gets = stream::repeat_with(&get).take_while(|_| std::future::ready(start.elapsed() < LASTS));
    let done = gets.buffer_unordered(in_flight).count().await as f64;
    let (elapsed, taken) = (start.elapsed(), Tally::now().since(before));
    Cost {
        gets_per_second: done / elapsed.as_secs_f64(),
        allocations_per_get: taken.allocations as f64 / done,
        bytes_per_get: taken.bytes as f64 / done,
    }
}

/// A runtime of its own for the vault: the clients are to be measured, not the sharing of threads.
fn runtime(on_thread_start: fn()) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().on_thread_start(on_thread_start).build().unwrap()
}

fn show_titles() {
    println!("{:>9}  {:^26}  {:^26}  {:^26}", "", "gets/s", "allocations/get", "bytes allocated/get");
    let three = format!("{:>9} {:>9} {:>6}", "akvfs", "azure", "ratio");
    println!("{:>9}  {three}  {three}  {three}", "in flight");
}

fn show(in_flight: usize, ours: &Cost, theirs: &Cost) {
    let pairs = [
        (ours.gets_per_second, theirs.gets_per_second),
        (ours.allocations_per_get, theirs.allocations_per_get),
        (ours.bytes_per_get, theirs.bytes_per_get),
    ];
    let columns = pairs.map(|(one, other)| format!("{one:9.0} {other:9.0} {:6.2}", one / other));
    println!("{in_flight:9}  {}", columns.join("  "));
}

fn main() {
    let (server, clients) = (runtime(|| ()), runtime(count_this_thread));
    let emulator = Emulator::in_memory("bench");
    emulator.put("db", "hunter2".into()).unwrap();
    let serving = server.block_on(emulator.serve_tls(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
    let (ca, token) = (serving.ca_pem().unwrap(), emulator.issue_token(Duration::from_secs(3600)));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
    std::fs::write(folder.path().join("token"), &token).unwrap();
    count_this_thread();
    show_titles();
    for in_flight in IN_FLIGHT {
        for _ in 0..ROUNDS {
            let (ours, theirs) = (ours(serving.url(), folder.path()), theirs(serving.url(), ca, token.clone()));
            let name = SecretName::parse("db").unwrap();
            let one = clients.block_on(cost(in_flight, async || {
                assert_eq!(ours.get(&name, None).await.unwrap().unwrap().value.expose(), b"hunter2");
            }));
            let other = clients.block_on(cost(in_flight, async || {
                let secret: Secret = theirs.get_secret("db", None).await.unwrap().into_model().unwrap();
                assert_eq!(secret.value.as_deref(), Some("hunter2"));
            }));
            show(in_flight, &one, &other);
        }
    }
}
