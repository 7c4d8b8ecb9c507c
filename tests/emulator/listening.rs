//! Where the vault listens, who can reach it, and how it stops.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use akvfs::emulator::{Emulator, EmulatorError, Fault};

use crate::client::{empty, tls_client};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let served = empty().await;
    assert_eq!(std::fs::metadata(&served.path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn a_live_socket_is_refused_and_a_dead_one_replaced() {
    let served = empty().await;
    let again = served.vault.serve_unix(&served.path).await;
    assert!(matches!(again, Err(EmulatorError::Listen(..))));
    assert_eq!(served.client.get("/secrets").await.status, 200);
    drop(served.serving);
    assert!(!served.path.exists());
    drop(std::os::unix::net::UnixListener::bind(&served.path).unwrap());
    served.vault.serve_unix(&served.path).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    assert!(Emulator::in_memory("test-vault").serve_unix(&path).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn tls_is_served_under_a_private_authority() {
    let vault = Emulator::in_memory("test-vault");
    vault.put("a", "1".into()).unwrap();
    let serving = vault.serve_tls(LOOPBACK).await.unwrap();
    let reply = tls_client(&vault, &serving).get("/secrets/a").await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{}/secrets/a/", serving.url())), "{id}");
}

#[tokio::test]
async fn other_addresses_are_refused() {
    let refused = Emulator::in_memory("test-vault").serve_tls("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(refused, Err(EmulatorError::NotLoopback(_))));
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_delays_nobody() {
    let vault = Emulator::in_memory("test-vault");
    let serving = vault.serve_tls(LOOPBACK).await.unwrap();
    let address = serving.url().strip_prefix("https://").unwrap();
    let _silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let client = tls_client(&vault, &serving);
    let reply = tokio::time::timeout(Duration::from_secs(5), client.get("/secrets")).await;
    assert_eq!(reply.unwrap().status, 200);
}

#[tokio::test]
async fn stopping_ends_requests_under_way() {
    let served = empty().await;
    served.vault.faults().queue(Fault::Hang);
    let client = served.client.clone();
    let asked =
        tokio::spawn(
            async move { client.try_send(reqwest::Method::GET, "/secrets?api-version=7.6", None).await.is_err() },
        );
    served.vault.faults().until_hanging(1).await;
    served.serving.stop().await;
    assert!(asked.await.unwrap());
    assert_eq!(served.vault.faults().hanging(), 0);
}
