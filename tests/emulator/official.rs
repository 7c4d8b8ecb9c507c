//! Microsoft's own clients against the embedded vault: the same scenario in each, at once, with
//! deletions that take a while, and with lists full of empty pages.

use std::net::SocketAddr;
use std::time::Duration;

use akvfs::emulator::{Emulator, Fault, Options, Serving};
use std::process::Command;

use crate::client::HOUR;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// A Python that has `azure-keyvault-secrets` and `aiohttp`.
const PYTHON: &str = "AKVFS_TEST_PYTHON";
/// A directory whose `node_modules` holds `@azure/keyvault-secrets`.
const MODULES: &str = "AKVFS_TEST_NODE_MODULES";

/// The value of a variable that says where a client is; loudly none, and an error under CI.
fn installed(variable: &str) -> Option<std::ffi::OsString> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
        eprintln!("SKIPPED: {variable} does not say where the official client is");
    }
    value
}

async fn serve(vault: &Emulator) -> (Serving, tempfile::NamedTempFile) {
    let serving = vault.serve_tls(LOOPBACK).await.unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&ca, serving.ca_pem().unwrap()).unwrap();
    (serving, ca)
}

/// The three vaults each client has to cope with.
fn vaults() -> [Emulator; 3] {
    let delay = Duration::from_secs(4);
    let slow = Options { deletion_delay: delay, recovery_delay: delay, purge_delay: delay, ..Options::default() };
    let sparse = Emulator::in_memory("sparse");
    sparse.faults().queue(Fault::EmptyPages(120).times(u32::MAX));
    [Emulator::in_memory("prompt"), Emulator::with_options("slow", slow), sparse]
}

fn passes(client: &mut Command) {
    let output = client.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_finds_a_vault() {
    let Some(python) = installed(PYTHON) else { return };
    for vault in vaults() {
        let (serving, ca) = serve(&vault).await;
        let mut client = Command::new(&python);
        client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/emulator/clients/official.py"));
        client.args([serving.url(), &vault.issue_token(HOUR)]);
        passes(client.env("REQUESTS_CA_BUNDLE", ca.path()).env("SSL_CERT_FILE", ca.path()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_client_finds_a_vault() {
    let Some(modules) = installed(MODULES) else { return };
    for vault in vaults() {
        let (serving, ca) = serve(&vault).await;
        let mut client = Command::new("node");
        client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/emulator/clients/official.mjs"));
        client.args([serving.url(), &vault.issue_token(HOUR)]);
        passes(client.env("MODULES", &modules).env("NODE_EXTRA_CA_CERTS", ca.path()));
    }
}
