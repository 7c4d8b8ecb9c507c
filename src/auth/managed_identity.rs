//! Managed identities: a machine or service signs itself in through an endpoint that only it can reach.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, RequestBuilder, redirect};
use serde::Deserialize;
use url::Url;

use super::AuthError;
use super::application::{bounded, cause};
use super::provider::{Source, Wanted};
use super::token::{Fetched, Token};
use crate::sys::SecretBytes;

/// The endpoint is on this machine, or one hop away.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);
const ANSWER_MAX: usize = 256 * 1024;
const PATH: &str = "/metadata/identity/oauth2/token";

/// Where the tokens of a managed identity are.
pub(super) enum Endpoint {
    VirtualMachine { endpoint: Url, identity: Option<String> },
    AppService { endpoint: Url, header: SecretBytes, identity: Option<String> },
}

impl Endpoint {
    pub(super) fn source(self) -> Result<ManagedIdentity, reqwest::Error> {
        // No proxy can reach the endpoint of this very machine, and none should see its answer.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .build()?;
        Ok(ManagedIdentity { client, endpoint: self })
    }
}

/// A managed identity.
pub(super) struct ManagedIdentity {
    client: Client,
    endpoint: Endpoint,
}

impl ManagedIdentity {
    fn request(&self, wanted: &Wanted) -> RequestBuilder {
        let resource = wanted.scope.audience();
        match &self.endpoint {
            Endpoint::VirtualMachine { endpoint, identity } => {
                let mut url = endpoint.clone();
                url.set_path(PATH);
                query(&mut url, "2018-02-01", resource, identity.as_deref(), "msi_res_id");
                self.client.get(url).header("Metadata", "true")
            }
            Endpoint::AppService { endpoint, header, identity } => {
                let mut url = endpoint.clone();
                query(&mut url, "2019-08-01", resource, identity.as_deref(), "mi_res_id");
                let mut value = reqwest::header::HeaderValue::from_bytes(header.expose());
                if let Ok(value) = &mut value {
                    value.set_sensitive(true);
                }
                let request = self.client.get(url).header("Metadata", "true");
                match value {
                    Ok(value) => request.header("X-IDENTITY-HEADER", value),
                    Err(_) => request, // the endpoint says that it misses it
                }
            }
        }
    }

    async fn token(&self, wanted: &Wanted) -> Result<Fetched, AuthError> {
        let response = self.request(wanted).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = bounded(response, ANSWER_MAX).await.map_err(|error| self.unreachable(&error))?;
        let name = self.name();
        match status {
            200 => granted(&body),
            // The metadata service says these while it starts, or is busy.
            404 | 410 | 429 | 500.. => Err(AuthError::Unreachable(format!("{name} has no token yet (HTTP {status})"))),
            400 => Err(AuthError::Refused(format!(
                "{name} knows no such identity (HTTP 400): assign one, and name it by --client-id if there are several"
            ))),
            _ => Err(AuthError::Refused(format!("{name} refuses to sign in (HTTP {status})"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> AuthError {
        let name = self.name();
        let what = if error.is_timeout() { "does not answer".to_owned() } else { cause(error) };
        let remedy = match self.endpoint {
            Endpoint::VirtualMachine { .. } => "; outside Azure there is none: choose another way by --auth",
            Endpoint::AppService { .. } => "",
        };
        AuthError::Unreachable(format!("{name}: {what}{remedy}"))
    }
}

impl Source for ManagedIdentity {
    fn name(&self) -> &'static str {
        match self.endpoint {
            Endpoint::VirtualMachine { .. } => "the managed identity of this virtual machine",
            Endpoint::AppService { .. } => "the managed identity of this service",
        }
    }

    fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
        Box::pin(self.token(wanted))
    }
}

fn query(url: &mut Url, version: &str, resource: &str, identity: Option<&str>, by_resource: &str) {
    let mut pairs = url.query_pairs_mut();
    pairs.append_pair("api-version", version).append_pair("resource", resource);
    match identity {
        Some(id) if id.starts_with('/') => drop(pairs.append_pair(by_resource, id)),
        Some(id) => drop(pairs.append_pair("client_id", id)),
        None => {}
    }
}

/// Times are numbers here and strings there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(i64),
    Text(String),
}

impl Seconds {
    fn value(&self) -> Option<i64> {
        match self {
            Seconds::Number(number) => Some(*number),
            Seconds::Text(text) => text.parse().ok(),
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretBytes,
    expires_in: Option<Seconds>,
    expires_on: Option<Seconds>,
    refresh_in: Option<Seconds>,
}

fn granted(body: &[u8]) -> Result<Fetched, AuthError> {
    let unusable = || AuthError::Unusable("the managed identity's answer holds no token".to_owned());
    let granted: Granted = serde_json::from_slice(body).map_err(|_| unusable())?;
    let token = Token::parse(granted.access_token.expose()).ok_or_else(unusable)?;
    let span = |seconds: &Option<Seconds>| {
        let seconds = u64::try_from(seconds.as_ref()?.value()?).ok()?;
        Some(Duration::from_secs(seconds))
    };
    // A span needs no clock of ours to be right.
    if let Some(life) = span(&granted.expires_in) {
        return Ok(Fetched::living(token, life, span(&granted.refresh_in)));
    }
    let expires_on = granted.expires_on.as_ref().and_then(Seconds::value).ok_or_else(unusable)?;
    Ok(Fetched::until(token, expires_on))
}
