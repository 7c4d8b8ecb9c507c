//! One call: challenge, token, request, bounded answer.

use std::fs;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Method, redirect};
use url::Url;
use zeroize::Zeroizing;

use super::challenge;
use super::failure;
use super::{HttpSettings, HttpSetupError};
use crate::auth::{Credential, Scope, Token};
use crate::vault::{VaultError, VaultErrorKind};

/// A page of 25 secrets with 15 tags of 512 + 512 characters each is some 400 KB, times four for
/// characters outside ASCII.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One request, before it has a token.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// JSON.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The connections to one vault, and what its challenge has taught.
pub(super) struct Transport {
    client: Client,
    settings: HttpSettings,
    credential: Credential,
    scope: Mutex<Option<Scope>>,
}

impl Transport {
    pub(super) fn new(settings: HttpSettings, credential: Credential) -> Result<Transport, HttpSetupError> {
        let mut builder = Client::builder()
            .user_agent(concat!("akvfs/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none()) // a redirect must not take the token elsewhere
            .connect_timeout(CONNECT_TIMEOUT.min(settings.deadline))
            .tls_version_min(reqwest::tls::Version::TLS_1_2);
        if let Some(path) = &settings.ca_bundle {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        builder = match &settings.socket {
            Some(path) => builder.unix_socket(path.as_path()).no_proxy(),
            None => builder.https_only(true),
        };
        let client = builder.build().map_err(|error| HttpSetupError::Tls(failure::cause(&error)))?;
        Ok(Transport { client, settings, credential, scope: Mutex::new(None) })
    }

    /// The URL of a path below the vault, with its `api-version`.
    pub(super) fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.settings.base.clone();
        url.set_path(&segments.join("/")); // names, versions and our own words: nothing to escape
        url.query_pairs_mut().clear().append_pair("api-version", &self.settings.api_version);
        url
    }

    /// Whether a URL that the vault handed out leads to the vault itself.
    pub(super) fn is_ours(&self, url: &Url) -> bool {
        let base = &self.settings.base;
        let same_port = || url.port_or_known_default() == base.port_or_known_default();
        // The vault behind a socket knows its name, but no port.
        url.host_str() == base.host_str() && (self.settings.socket.is_some() || same_port())
    }

    /// Sends a call with a token, once more if the first token is refused, all within the deadline.
    /// An answer of any status is `Ok`, save a 401.
    pub(super) async fn exchange(&self, call: Call) -> Result<Answer, VaultError> {
        tokio::time::timeout(self.settings.deadline, self.authenticated(&call))
            .await
            .unwrap_or_else(|_| Err(VaultError::of(VaultErrorKind::TimedOut)))
    }

    async fn authenticated(&self, call: &Call) -> Result<Answer, VaultError> {
        let known = self.scope.lock().clone();
        let scope = match known {
            Some(scope) => scope,
            None => self.first_challenge(call).await?,
        };
        let token = self.token(&scope)?;
        let answer = self.send(call, Some(&token)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // The token has expired, or the vault has moved to another tenant: once more, with what the
        // new challenge and the credential say now.
        let renewed = self.learn(&answer)?;
        let answer = self.send(call, Some(&*self.token(&renewed)?)).await?;
        if answer.status == 401 { Err(failure::of(&answer)) } else { Ok(answer) }
    }

    /// The vault says whom it trusts only when it is asked without a token, and such a request must
    /// carry no body: who answers is not known yet.
    async fn first_challenge(&self, call: &Call) -> Result<Scope, VaultError> {
        let bare = Call { method: call.method.clone(), url: call.url.clone(), body: None };
        let answer = self.send(&bare, None).await?;
        match answer.status {
            401 => self.learn(&answer),
            429 | 500..=599 => Err(failure::of(&answer)),
            status => Err(failure::not_key_vault(format!("HTTP {status} where Key Vault asks for a token"))),
        }
    }

    fn learn(&self, answer: &Answer) -> Result<Scope, VaultError> {
        let headers = answer.headers.get_all(WWW_AUTHENTICATE);
        let scope = headers
            .iter()
            .filter_map(|header| header.to_str().ok())
            .find_map(challenge::parse)
            .ok_or_else(|| failure::not_key_vault("HTTP 401 without Key Vault's challenge".to_owned()))?;
        if self.settings.verify_resource {
            challenge::verify(&scope, &self.settings.base).map_err(failure::not_key_vault)?;
        }
        *self.scope.lock() = Some(scope.clone());
        Ok(scope)
    }

    fn token(&self, scope: &Scope) -> Result<std::sync::Arc<Token>, VaultError> {
        let no_token = |error: crate::auth::AuthError| VaultErrorKind::NoToken(error.to_string().into());
        self.credential.token(scope).map_err(|error| VaultError::of(no_token(error)))
    }

    async fn send(&self, call: &Call, token: Option<&Token>) -> Result<Answer, VaultError> {
        let mut request = self.client.request(call.method.clone(), call.url.clone()).header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        } else if call.method != Method::GET {
            request = request.body(""); // Content-Length: 0, which servers want of a PUT without a body
        }
        let mut response = request.send().await.map_err(failure::unsent)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failure::unsent)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(failure::not_key_vault(format!("an answer of more than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
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
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(failure::cause(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}
