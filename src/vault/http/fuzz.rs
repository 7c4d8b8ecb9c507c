//! What strangers may send us, thrown at us by chance: challenges, links, answers. A panic, or a token that would
//! leave for somebody else, is a find. Run by proptest in the tests, `AKVFS_TEST_FUZZ=1000000 cargo test --release
//! --lib fuzz::` for longer, and by libFuzzer from `fuzz/`: `cargo +nightly fuzz run challenge`.

use std::sync::LazyLock;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use url::Url;
use zeroize::Zeroizing;

use super::challenge::{self, Challenge};
use super::operation::Operation;
use super::transport::{Answer, Transport};
use super::{HttpSettings, failure, pages, raw, wire};
use crate::vault::{DeletedItem, Item, NewSecret};

/// Vaults that a stranger would like to pass for.
static VAULTS: LazyLock<Vec<Transport>> = LazyLock::new(|| {
    let vaults =
        ["https://mine.vault.azure.net", "https://[::1]:8443", "https://x.localhost:8443", "https://127.0.0.1"];
    let urls = vaults.iter().filter_map(|vault| Url::parse(vault).ok());
    urls.filter_map(|url| Transport::new(&HttpSettings::of(url)).ok()).collect()
});

/// The value of a `WWW-Authenticate` header. What is believed has to be believed by anybody who reads it.
pub fn challenge(header: &[u8]) {
    let Some(headers) = with_header(WWW_AUTHENTICATE, header) else { return };
    let Some(Challenge::Scope(scope)) = challenge::read(&headers) else { return };
    if let Some(tenant) = scope.tenant() {
        assert!(!tenant.contains(['/', '\\', '%', '?', '#', '@', ':']), "a tenant that leads elsewhere");
    }
    for vault in VAULTS.iter().map(Transport::base).filter(|vault| challenge::verify(&scope, vault).is_ok()) {
        assert!(is_plainly_above(&scope.resource, vault), "{:?} is believed by {vault}", scope.resource);
    }
}

/// A second opinion without a URL parser: the resource is `https://`, a parent of the vault's host, at most its port and
/// a path, and no more.
fn is_plainly_above(resource: &str, vault: &Url) -> bool {
    let resource = resource.to_ascii_lowercase();
    let authority = resource.strip_prefix("https://").map(|rest| rest.split('/').next().unwrap_or_default());
    let Some(authority) = authority else { return false };
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let port_fits = port.is_empty() || port.trim_start_matches('0') == "443" || port.parse().ok() == vault.port();
    let is_parent = |own: &str| own.strip_suffix(host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    port_fits && !host.is_empty() && vault.host_str().is_some_and(is_parent)
}

/// A `nextLink`, or the path of a call by hand. Where either is followed, it leads to the vault.
pub fn link(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    for vault in VAULTS.iter() {
        let followed = pages::following(vault, &vault.route(&["secrets"]), text).ok();
        for url in followed.into_iter().chain(raw::target(vault, text).ok()) {
            let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
            assert_eq!(place(&url), place(vault.base()), "{text:?}");
            assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        }
    }
}

/// An answer: its status in three digits, `Retry-After` up to the line's end, then the body.
pub fn answer(bytes: &[u8]) {
    let (head, body) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    let status = head.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let retry_after = with_header(RETRY_AFTER, head.get(3..).unwrap_or_default());
    let make = || Answer {
        operation: Operation::Get,
        status: status.unwrap_or(200),
        headers: retry_after.clone().unwrap_or_default(),
        body: Zeroizing::new(body.to_vec()),
        repeated: false,
    };
    let answer = make();
    let error = failure::of(&answer);
    assert!(error.code.as_ref().is_none_or(|code| code.len() <= 64 && code.is_ascii()), "a code that is none");
    let _ = (error.to_string(), failure::is_not_found(&answer), wire::properties(&answer), wire::deleted(&answer));
    let _ = (wire::page::<Item>(&answer), wire::page::<DeletedItem>(&answer), wire::blob(&answer));
    if let Ok(secret) = wire::secret(make()) {
        let value = secret.value.expose().to_vec();
        let sent = wire::set_body(&NewSecret::of(secret.value)).ok();
        let sent = sent.and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok());
        let text = sent.as_ref().and_then(|body| body["value"].as_str());
        assert!(text.is_none_or(|text| text.as_bytes() == value), "a value that changes on its way back");
    }
}

/// `None` where no HTTP library would take the value for a header's.
fn with_header(name: HeaderName, value: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(value).ok()?;
    Some([(name, value)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// Runs a body on as many inputs as `AKVFS_TEST_FUZZ` says.
    fn throw(pieces: &'static [&'static str], body: fn(&[u8])) {
        let cases = std::env::var("AKVFS_TEST_FUZZ").map_or(4000, |cases| cases.parse().unwrap());
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let piece = prop_oneof![8 => select(pieces).prop_map(str::to_owned), 1 => "[ -~]{0,4}"];
        let text = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
        TestRunner::new(config)
            .run(&text, |text| {
                body(text.as_bytes());
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn no_challenge_sends_a_token_elsewhere() {
        const PIECES: &[&str] = &[
            "Bearer ",
            "authorization=",
            "resource=",
            "scope=",
            "\"",
            "\"https://login.microsoftonline.com/t\"",
            ", ",
            "https://",
            "https:",
            "/",
            "\\",
            "@",
            "vault.azure.net",
            "VAULT.azure.net",
            ".evil",
            "evil.",
            ":443",
            ":8443",
            "[::1]",
            "localhost",
            "%2e",
            "\t",
            "/.default",
        ];
        throw(PIECES, challenge);
        throw(PIECES, |rest| {
            let before: &[u8] = b"Bearer authorization=\"https://login.microsoftonline.com/t\", resource=\"";
            challenge(&[before, rest, b"\""].concat());
        });
    }

    #[test]
    fn no_link_leads_out_of_the_vault() {
        throw(
            &[
                "https://",
                "http://",
                "//",
                "/",
                "\\",
                "mine.vault.azure.net",
                "MINE.vault.azure.net",
                "[::1]",
                "x.localhost",
                "127.0.0.1",
                ".evil",
                "evil",
                ":443",
                ":8443",
                "@",
                "?$skiptoken=a",
                "&api-version=7.0",
                "#",
                "..",
                "secrets",
                "%2f",
                "\t",
            ],
            link,
        );
    }

    #[test]
    fn no_answer_breaks_the_client() {
        throw(
            &[
                "200",
                "404",
                "429",
                "503",
                "\n",
                "18446744073709551615",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "{",
                "}",
                "\"value\":",
                "\"v\"",
                "\"KUF6\"",
                "[",
                "]",
                ",",
                "null",
                "\"id\":\"https://v/secrets/a/00000000000000000000000000000000\"",
                "\"attributes\":{\"exp\":-1}",
                "\"nextLink\":",
                "\"error\":{\"code\":\"SecretNotFound\"}",
                "\"\\ud800\"",
            ],
            answer,
        );
    }
}
