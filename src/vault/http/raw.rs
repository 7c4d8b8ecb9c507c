//! A call written by hand, through the same pipeline as every other.

use reqwest::Method;
use url::Url;
use zeroize::Zeroizing;

use super::HttpVault;
use super::operation::Operation;
use super::transport::{Call, Transport};
use crate::vault::{SecretBytes, VaultError};

/// A request as somebody wrote it.
#[derive(Debug)]
pub struct RawCall {
    method: Method,
    target: String,
    body: Option<SecretBytes>,
}

/// Why a request cannot be sent as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawCallError {
    /// Not one of the methods of the API.
    #[error("the method has to be GET, PUT, POST, PATCH or DELETE")]
    Method,
    /// Not a path, or one that leads out of the vault.
    #[error("the path has to begin with one slash, as in /secrets/NAME, or be a URL of this very vault")]
    Path,
}

/// The vault's answer, as it came.
#[derive(Debug)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: SecretBytes,
}

impl RawCall {
    /// A request of this method for a path, which may have a query.
    ///
    /// # Errors
    /// Where the API knows no such method.
    pub fn new(method: &str, target: &str, body: Option<SecretBytes>) -> Result<RawCall, RawCallError> {
        let methods = [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
        let method = methods.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(method));
        Ok(RawCall { method: method.ok_or(RawCallError::Method)?, target: target.to_owned(), body })
    }
}

/// What became of a request: an answer of any status, or none.
pub type RawOutcome = Result<RawAnswer, VaultError>;

impl HttpVault {
    /// Sends a request with the vault's token, `api-version` and limits. An answer of any status is `Ok`.
    /// What reads is retried like every other call; what changes something is sent once.
    ///
    /// # Errors
    /// Outside: where the path is none of this vault's. Inside: where there was no answer.
    pub async fn request(&self, call: RawCall) -> Result<RawOutcome, RawCallError> {
        let url = target(self.pipeline.transport(), &call.target)?;
        let operation = if call.method == Method::GET { Operation::HandRead } else { Operation::HandWrite };
        let body = call.body.map(|body| Zeroizing::new(body.expose().to_vec()));
        let call = Call { operation, method: call.method, url, body };
        let answer = self.pipeline.exchange(&call).await;
        Ok(answer.map(|answer| RawAnswer {
            status: answer.status,
            headers: shown(&answer.headers),
            body: SecretBytes::new(answer.body.to_vec()),
        }))
    }
}

/// The URL that a path means: never one of another host. The vault's own links may be given as they are.
pub(super) fn target(transport: &Transport, text: &str) -> Result<Url, RawCallError> {
    let clean = !text.contains('\\') && !text.starts_with("//") && !text.contains(char::is_whitespace);
    let is_path = text.starts_with('/');
    let url = if is_path { transport.base().join(text) } else { Url::parse(text) };
    let mut url = url.ok().filter(|url| clean && transport.is_ours(url)).ok_or(RawCallError::Path)?;
    if !url.query_pairs().any(|(key, _)| key == "api-version") {
        transport.stamp(&mut url);
    }
    let mut target = transport.base().clone();
    target.set_path(url.path());
    target.set_query(url.query());
    Ok(target)
}

fn shown(headers: &reqwest::header::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::HttpSettings;
    use super::*;

    fn vault() -> Transport {
        Transport::new(&HttpSettings::of(Url::parse("https://mine.vault.azure.net").unwrap())).unwrap()
    }

    #[test]
    fn a_path_stays_within_the_vault() {
        let vault = vault();
        for (text, expected) in [
            ("/secrets", "https://mine.vault.azure.net/secrets?api-version=2025-07-01"),
            ("/secrets/a?maxresults=2", "https://mine.vault.azure.net/secrets/a?api-version=2025-07-01&maxresults=2"),
            ("/secrets?api-version=7.4", "https://mine.vault.azure.net/secrets?api-version=7.4"),
            (
                "https://mine.vault.azure.net:443/secrets?api-version=7.4&$skiptoken=a",
                "https://mine.vault.azure.net/secrets?api-version=7.4&$skiptoken=a",
            ),
            ("/secrets/../../x", "https://mine.vault.azure.net/x?api-version=2025-07-01"),
        ] {
            assert_eq!(target(&vault, text).unwrap().as_str(), expected);
        }
        for text in [
            "",
            "secrets",
            "//evil.example/secrets",
            "/\\evil.example/secrets",
            "https://evil.example/secrets",
            "https://mine.vault.azure.net.evil/secrets",
            "https://mine.vault.azure.net@evil.example/",
            "https://user@mine.vault.azure.net/secrets",
            "/secrets/a b",
            "/secrets\r\nHost: evil",
        ] {
            assert_eq!(target(&vault, text).unwrap_err(), RawCallError::Path, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_leads_to_another_host(text in "[ -~]{0,80}") {
            if let Ok(url) = target(&vault(), &text) {
                prop_assert_eq!(url.host_str(), Some("mine.vault.azure.net"));
                prop_assert_eq!((url.scheme(), url.port(), url.username()), ("https", None, ""));
            }
        }
    }

    #[test]
    fn other_methods_are_refused() {
        assert!(RawCall::new("get", "/secrets", None).is_ok());
        for method in ["HEAD", "CONNECT", "GE T", ""] {
            assert_eq!(RawCall::new(method, "/secrets", None).unwrap_err(), RawCallError::Method, "{method}");
        }
    }
}
