//! What is thrown at the vault by chance: whole requests, and backups. A panic, or an answer no client could
//! read, is a find. Run by proptest in the tests, `AKVFS_TEST_FUZZ=1000000 cargo test --release --lib fuzz::`
//! for longer, and by libFuzzer from `fuzz/`: `cargo +nightly fuzz run request`.

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;

use super::backup::BackupKey;
use super::connection::Peer;
use super::origin::Scheme;
use super::tokens::TokenSpec;
use super::{Emulator, Options, UnixTime, record, service};

/// One request, as text: method and target, `Host`, and from the third line on the body. It carries a token.
pub fn request(text: &[u8]) {
    let mut lines = text.splitn(3, |byte| *byte == b'\n');
    let (first, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let body = lines.next().unwrap_or_default().to_vec();
    let space = first.iter().position(|byte| *byte == b' ').unwrap_or(first.len());
    let (method, target) = (&first[..space], first.get(space + 1..).unwrap_or_default());
    let emulator = vault();
    let token = emulator.issue_token_for(&TokenSpec::default());
    let request = Request::builder().method(method).uri(target).header(header::HOST, host);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    // What hyper would refuse never reaches the vault.
    let Ok(request) = request.body(Body::from(body)) else { return };
    block_on(async {
        let peer = ConnectInfo(Peer::new(Scheme::Https));
        let response = service::handle(State(emulator), peer, request).await;
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        assert!(head.status.as_u16() < 500, "{}", head.status);
        let is_json =
            head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        assert!(!is_json || serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "no JSON");
    });
}

/// A backup: as a blob in base64url, and as what would be inside an authentic one.
pub fn backup(bytes: &[u8]) {
    let key = BackupKey::new([7; 32].into(), "here");
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(key.open(text).is_err(), "a forged backup");
    }
    if let Some(secret) = record::decode_whole(bytes) {
        let now = UnixTime::new(std::time::Duration::ZERO);
        let sealed = key.seal(&secret).ok();
        let opened = sealed.and_then(|blob| key.open(&blob).ok());
        assert_eq!(opened.map(|opened| format!("{opened:?}")), Some(format!("{secret:?}")));
        super::rules::Vault::new(Options::default()).restore(secret, now);
    }
}

/// One secret in each state there is.
fn vault() -> Emulator {
    let emulator = Emulator::in_memory("fuzzed");
    let put = |name: &str, new| drop(emulator.put(name, new));
    put("a", "1".into());
    put("a", "2".into());
    put("deleted", "3".into());
    put("managed", super::NewSecret { managed: true, ..super::NewSecret::from("4") });
    if let Some(name) = super::model::SecretName::parse("deleted") {
        drop(emulator.inner.vault.write().delete(&name, emulator.clock().now()));
    }
    emulator
}

fn block_on(future: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: Option<tokio::runtime::Runtime> = tokio::runtime::Builder::new_current_thread().build().ok();
    }
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime {
            runtime.block_on(future);
        }
    });
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;

    use super::super::model::{SecretName, VersionId};
    use super::*;

    /// Runs a body on as many inputs as `AKVFS_TEST_FUZZ` says.
    fn throw<I: std::fmt::Debug>(inputs: impl Strategy<Value = I>, body: impl Fn(I)) {
        let cases = std::env::var("AKVFS_TEST_FUZZ").map_or(2000, |cases| cases.parse().unwrap());
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config)
            .run(&inputs, |input| {
                body(input);
                Ok(())
            })
            .unwrap();
    }

    /// Pieces of requests, as they should be and as they should not.
    const METHODS: [&str; 8] = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "get"];
    const SEGMENTS: [&str; 20] = [
        "secrets",
        "Secrets",
        "deletedsecrets",
        "a",
        "deleted",
        "managed",
        "restore",
        "versions",
        "backup",
        "recover",
        "",
        "..",
        "%",
        "%2f",
        "%00",
        "%ff",
        "a%2Db",
        "00000000000000000000000000000000",
        "certificates",
        "x.y",
    ];
    const QUERIES: [&str; 15] = [
        "api-version=7.6",
        "api%2Dversion=2025-07-01",
        "API-VERSION=7.0",
        "api-version=",
        "api-version=9",
        "maxresults=1",
        "maxresults=26",
        "maxresults=-0",
        "$skiptoken=",
        "%24skiptoken=e30",
        "outContentType=application/x-pem-file",
        "outContentType=",
        "&",
        "=",
        "%%%",
    ];
    const HOSTS: [&str; 6] = ["x.vault.azure.net", "[::1]:8443", "a:b", ":", "127.0.0.1:443", "\u{e9}"];
    const BODIES: [&str; 12] = [
        "",
        "{}",
        "{\"value\":\"v\"}",
        "{\"value\":1}",
        "{\"value\":\"\\ud800\"}",
        "[",
        "null",
        "{\"value\":\"v\",\"tags\":{\"a\":\"b\"},\"attributes\":{\"exp\":-1,\"nbf\":99999999999999}}",
        "{\"attributes\":{\"exp\":1e400}}",
        "{\"attributes\":null,\"tags\":null}",
        "{\"value\":\"KUF6\"}",
        "{\"value\":\"v\",\"value\":\"w\"}",
    ];

    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let path = prop::collection::vec(select(&SEGMENTS[..]), 0..5);
        let query = prop::collection::vec(select(&QUERIES[..]), 0..4);
        let token = any::<Vec<u8>>().prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let body = prop_oneof![4 => select(&BODIES[..]).prop_map(str::to_owned), 1 => any::<String>()];
        let whole = (select(&METHODS[..]), path, query, token, select(&HOSTS[..]), body);
        let sound = whole.prop_map(|(method, path, query, token, host, body)| {
            let query = query.join("&").replace("skiptoken=&", &format!("skiptoken={token}&"));
            format!("{method} /{}?{query}\n{host}\n{body}", path.join("/")).into_bytes()
        });
        let garbled = (sound.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut text, at, byte)| {
            let at = at.index(text.len());
            text[at] = byte;
            text
        });
        prop_oneof![6 => sound, 3 => garbled, 1 => any::<Vec<u8>>()]
    }

    #[test]
    fn no_request_breaks_the_vault() {
        throw(requests(), |text| request(&text));
    }

    /// An authentic backup and its record, to be changed.
    fn sound() -> (Vec<u8>, Vec<u8>) {
        let emulator = vault();
        let now = emulator.clock().now();
        let mut vault = emulator.inner.vault.write();
        let name = SecretName::parse("a").unwrap();
        let new = super::super::NewSecret {
            tags: Some([("t".into(), "u".into())].into()),
            ..super::super::NewSecret::from("v")
        };
        vault.set(&name, new, VersionId::new([9; 16]), now).unwrap();
        let secret = vault.backup(&name, now).unwrap();
        let blob = BackupKey::new([8; 32].into(), "here").seal(secret).unwrap();
        (blob.into_bytes(), record::encode_whole(secret).to_vec())
    }

    #[test]
    fn no_backup_breaks_the_vault() {
        let (blob, record) = sound();
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
        let changed = (select(vec![blob, record]), changes, any::<bool>()).prop_map(|(mut bytes, changes, cut)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at.max(1)) } else { bytes[at] = byte }
            }
            bytes
        });
        throw(prop_oneof![4 => changed, 1 => any::<Vec<u8>>()], |bytes| backup(&bytes));
    }
}
