//! One request and its bounded answer, over connections that are kept.

use std::fs;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, redirect};
use url::Url;
use zeroize::Zeroizing;

use super::failure;
use super::operation::Operation;
use super::{HttpSettings, HttpSetupError};
use crate::auth::{Token, cause};
use crate::vault::{VaultError, VaultErrorKind};

/// A page of 25 secrets with 15 tags of 512 + 512 characters each is some 400 KB, times four for
/// characters outside ASCII.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// A backup holds up to 500 versions of up to 100 KB, twice in base64.
const BACKUP_MAX: usize = 128 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What was sent and has not arrived by then is lost: a connection that a firewall has forgotten.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

/// One request, before it has a token.
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) method: Method,
    pub(super) url: Url,
    /// JSON.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) operation: Operation,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether the call was sent more than once, and may have been carried out by an earlier try.
    pub(super) repeated: bool,
}

/// How far a request got that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It reached nobody.
    Unsent,
    /// It may have been carried out.
    Lost,
    /// Another try would end the same way.
    Final,
}

/// What became of one request.
pub(super) type Sent = Result<Answer, (Loss, VaultError)>;

/// The connections to one vault.
pub(super) struct Transport {
    client: Client,
    base: Url,
    /// The same with an `api-version`.
    stamped: Url,
    api_version: String,
    over_socket: bool,
}

impl Transport {
    pub(super) fn new(settings: &HttpSettings) -> Result<Transport, HttpSetupError> {
        let mut builder = Client::builder()
            .user_agent(concat!("akvfs/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none()) // a redirect must not take the token elsewhere
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(settings.deadline / 2))
            .tcp_user_timeout(UNACKNOWLEDGED.min(settings.deadline / 2))
            .pool_idle_timeout(IDLE)
            .tls_version_min(reqwest::tls::Version::TLS_1_2);
        if let Some(path) = &settings.ca_bundle {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        builder = match &settings.socket {
            // Nothing is encrypted there, and the system's authorities are hundreds of files to read.
            Some(path) => builder.unix_socket(path.as_path()).no_proxy().tls_certs_only([]),
            None => builder.https_only(true),
        };
        let client = builder.build().map_err(|error| HttpSetupError::Tls(cause(&error)))?;
        let over_socket = settings.socket.is_some();
        let (base, api_version) = (settings.base.clone(), settings.api_version.clone());
        let mut stamped = base.clone();
        stamp(&mut stamped, &api_version);
        Ok(Transport { client, base, stamped, api_version, over_socket })
    }

    /// The one client, which reaches the authority too.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of a path below the vault, with its `api-version`.
    pub(super) fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.stamped.clone();
        url.set_path(&segments.join("/")); // names, versions and our own words: nothing to escape
        url
    }

    /// Says which `api-version` is meant, in place of what a link from the vault may say.
    pub(super) fn stamp(&self, url: &mut Url) {
        stamp(url, &self.api_version);
    }

    /// Whether a URL that the vault handed out leads to the vault itself.
    pub(super) fn is_ours(&self, url: &Url) -> bool {
        let same_port = || url.port_or_known_default() == self.base.port_or_known_default();
        // The vault behind a socket knows its name, but no port.
        let same_host = url.host() == self.base.host() && (self.over_socket || same_port());
        same_host && matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none()
    }

    /// Sends a request once.
    pub(super) async fn send(&self, call: &Call, token: Option<&Token>) -> Sent {
        let mut request = self.client.request(call.method.clone(), call.url.clone()).header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, bearer(token).map_err(|error| (Loss::Final, error))?);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        } else if call.method != Method::GET {
            request = request.body(""); // Content-Length: 0, which servers want of a PUT without a body
        }
        let mut response = request.send().await.map_err(failure::unsent)?;
        let most = most(call.operation);
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failure::unsent)? {
            if body.len() + chunk.len() > most {
                let error = failure::not_key_vault(format!("an answer of more than {most} bytes"));
                return Err((Loss::Final, error));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { operation: call.operation, status, headers, body, repeated: false })
    }
}

fn stamp(url: &mut Url, api_version: &str) {
    let others: Vec<_> = url.query_pairs().into_owned().filter(|(key, _)| key != "api-version").collect();
    url.query_pairs_mut().clear().append_pair("api-version", api_version).extend_pairs(others);
}

impl Answer {
    /// A header, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After`: seconds, or a date, which is held against the answer's own `Date`.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = http_date(text)?;
        let now = self.header(DATE.as_str()).and_then(http_date).unwrap_or_else(time::OffsetDateTime::now_utc);
        Some((until - now).try_into().unwrap_or(Duration::ZERO))
    }

    /// By how many seconds this machine's clock is ahead of the vault's.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        let theirs = self.header(DATE.as_str()).and_then(http_date)?;
        Some((time::OffsetDateTime::now_utc() - theirs).whole_seconds())
    }
}

/// RFC 9110 §5.6.7, in the one form that is to be sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<time::OffsetDateTime> {
    let text = text.strip_suffix("GMT")?;
    time::OffsetDateTime::parse(&format!("{text}+0000"), &time::format_description::well_known::Rfc2822).ok()
}

fn most(operation: Operation) -> usize {
    match operation {
        Operation::Backup | Operation::HandRead | Operation::HandWrite => BACKUP_MAX,
        Operation::Get
        | Operation::List
        | Operation::Set
        | Operation::Update
        | Operation::Delete
        | Operation::Deleted
        | Operation::Recover
        | Operation::Purge
        | Operation::Restore => ANSWER_MAX,
    }
}

fn bearer(token: &Token) -> Result<HeaderValue, VaultError> {
    let mut value = HeaderValue::from_bytes(&token.header())
        .map_err(|_| VaultError::of(VaultErrorKind::NoToken("it does not fit into a header".into())))?;
    value.set_sensitive(true); // keeps it out of Debug and of HTTP/2's tables
    Ok(value)
}

fn authorities(path: &std::path::Path) -> Result<Vec<Certificate>, HttpSetupError> {
    let unusable = |why: String| HttpSetupError::CaBundle { path: path.display().to_string(), why };
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(cause(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("Tue, 24 Nov 2026 08:00:00 GMT"));
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        let (operation, body) = (Operation::Get, Zeroizing::new(Vec::new()));
        Answer { operation, status: 429, headers, body, repeated: false }.retry_after()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Tue, 24 Nov 2026 08:01:05 GMT"), Some(Duration::from_secs(65)));
        assert_eq!(asked("Tue, 24 Nov 2026 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }
}
