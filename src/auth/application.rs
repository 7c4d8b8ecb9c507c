//! An application signs in at its tenant's token endpoint (OAuth 2.0, client credentials), by a secret,
//! a certificate or another issuer's token.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::provider::{Source, Wanted};
use super::small_file::SmallFile;
use super::token::{Fetched, Token};
use super::{ApplicationSettings, AuthError};
use crate::sys::SecretBytes;

/// A sign-in takes less than a second.
const LIMIT: Duration = Duration::from_secs(15);
/// A token answer is some 3 KiB.
const ANSWER_MAX: usize = 256 * 1024;
const SECRET: &str = "client_secret";
const ASSERTION: &str = "client_assertion";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What an application proves itself with. Files are read for every sign-in, so that what is put in
/// their place counts from then on.
pub(super) enum Proof {
    Secret(SecretBytes),
    SecretFile(SmallFile),
    Certificate(SmallFile),
    Assertion(SmallFile),
}

/// An application, and the way to its authority.
pub(super) struct Application {
    client: Client,
    settings: ApplicationSettings,
    proof: Proof,
}

impl Application {
    pub(super) fn new(client: Client, settings: ApplicationSettings, proof: Proof) -> Application {
        Application { client, settings, proof }
    }

    async fn token(&self, wanted: &Wanted) -> Result<Fetched, AuthError> {
        // The vault knows its tenant; who configured ours may not have heard that it has moved.
        let tenant = wanted.scope.tenant().or_else(|| self.settings.tenant.clone());
        let tenant = tenant.ok_or_else(|| {
            AuthError::Unusable("the vault does not say which tenant it is of: give --tenant-id".to_owned())
        })?;
        let endpoint = self.endpoint(&tenant)?;
        let form = self.form(wanted, &endpoint).await?;
        let request = self.client.post(endpoint).timeout(LIMIT);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.as_str().to_owned());
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = bounded(response, ANSWER_MAX).await.map_err(|error| self.unreachable(&error))?;
        if status == 200 { granted(&body) } else { Err(self.denied(status, &body, &tenant)) }
    }

    fn endpoint(&self, tenant: &str) -> Result<Url, AuthError> {
        let mut url = self.settings.authority.clone();
        url.path_segments_mut()
            .map_err(|()| AuthError::Unusable("the authority has no address".to_owned()))?
            .clear()
            .extend([tenant, "oauth2", "v2.0", "token"]);
        Ok(url)
    }

    async fn form(&self, wanted: &Wanted, endpoint: &Url) -> Result<Zeroizing<String>, AuthError> {
        let (field, proof) = self.proof(endpoint).await?;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.settings.client_id);
        form.append_pair("scope", &wanted.scope.default_scope());
        form.append_pair("claims", &claims(wanted.claims.as_deref()));
        if field == ASSERTION {
            form.append_pair("client_assertion_type", ASSERTION_TYPE);
        }
        form.append_pair(field, &proof);
        Ok(Zeroizing::new(form.finish()))
    }

    /// What proves that we are the application, and the field that it goes into.
    async fn proof(&self, endpoint: &Url) -> Result<(&'static str, Zeroizing<String>), AuthError> {
        match &self.proof {
            Proof::Secret(secret) => Ok((SECRET, text(secret.expose(), "AZURE_CLIENT_SECRET")?)),
            Proof::SecretFile(file) => Ok((SECRET, text(&file.read().await?, &file.path().display().to_string())?)),
            Proof::Assertion(file) => Ok((ASSERTION, text(&file.read().await?, &file.path().display().to_string())?)),
            Proof::Certificate(file) => {
                let pem = file.read().await?;
                let assertion = Certificate::parse(&pem)
                    .and_then(|certificate| certificate.assertion(&self.settings.client_id, endpoint.as_str()));
                let unusable = |why| format!("the client certificate {} cannot be used: {why}", file.path().display());
                assertion.map(|assertion| (ASSERTION, assertion)).map_err(|why| AuthError::Unusable(unusable(why)))
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> AuthError {
        let host = self.settings.authority.host_str().unwrap_or_default();
        let what = if error.is_timeout() { "does not answer in time".to_owned() } else { cause(error) };
        AuthError::Unreachable(format!("the sign-in at {host} failed: {what}"))
    }

    fn denied(&self, status: u16, body: &[u8], tenant: &str) -> AuthError {
        let host = self.settings.authority.host_str().unwrap_or_default();
        if status == 429 || status >= 500 {
            return AuthError::Unreachable(format!("{host} has trouble (HTTP {status})"));
        }
        let number = serde_json::from_slice::<Denied>(body).ok().and_then(|denied| denied.error_codes.first().copied());
        let client = &self.settings.client_id;
        match number {
            Some(number) => AuthError::Refused(format!(
                "{host} refuses the sign-in of application {client} in tenant {tenant} (AADSTS{number}){}",
                remedy(number)
            )),
            None => AuthError::Refused(format!("{host} refuses the sign-in of application {client} (HTTP {status})")),
        }
    }
}

impl Source for Application {
    fn name(&self) -> &'static str {
        match self.proof {
            Proof::Secret(_) | Proof::SecretFile(_) => "the client secret",
            Proof::Certificate(_) => "the client certificate",
            Proof::Assertion(_) => "the workload identity",
        }
    }

    fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
        Box::pin(self.token(wanted))
    }
}

/// The claims to ask for: those of a challenge, and that we can answer one ("CP1").
fn claims(challenged: Option<&str>) -> String {
    let parsed = challenged.and_then(|claims| serde_json::from_str(claims).ok());
    let mut claims: serde_json::Map<String, Value> = parsed.unwrap_or_default();
    let token = claims.entry("access_token").or_insert_with(|| json!({}));
    if let Value::Object(token) = token {
        token.insert("xms_cc".to_owned(), json!({ "values": ["CP1"] }));
    }
    Value::Object(claims).to_string()
}

fn text(bytes: &[u8], place: &str) -> Result<Zeroizing<String>, AuthError> {
    let text = std::str::from_utf8(bytes.trim_ascii()).unwrap_or_default();
    let unusable = || AuthError::Unusable(format!("{place} holds no secret: it should be one line of text"));
    (!text.is_empty()).then(|| Zeroizing::new(text.to_owned())).ok_or_else(unusable)
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretBytes,
    expires_in: u64,
    refresh_in: Option<u64>,
}

/// The description is not shown: it can quote what was sent.
#[derive(Deserialize)]
struct Denied {
    error_codes: Vec<u32>,
}

fn granted(body: &[u8]) -> Result<Fetched, AuthError> {
    let unusable = || AuthError::Unusable("the authority's answer holds no token".to_owned());
    let granted: Granted = serde_json::from_slice(body).map_err(|_| unusable())?;
    let token = Token::parse(granted.access_token.expose()).ok_or_else(unusable)?;
    let refresh_in = granted.refresh_in.map(Duration::from_secs);
    Ok(Fetched::living(token, Duration::from_secs(granted.expires_in), refresh_in))
}

fn remedy(number: u32) -> &'static str {
    match number {
        7_000_215 => ": the client secret is wrong; it is the secret's value that is wanted, not its id",
        7_000_222 => ": the client secret has expired; make a new one for the application",
        700_016 => ": there is no such application in the tenant; check the client id and the vault's tenant",
        90_002 => ": there is no such tenant",
        700_027 => ": the certificate is not one of the application's; add it there",
        700_213 | 70_021 => {
            ": no federated credential of the application fits the token's issuer, subject and audience"
        }
        700_024 => ": the token or certificate is not valid now; check this machine's clock",
        53_003 => ": a policy of conditional access blocks it",
        _ => "",
    }
}

/// The innermost reason, which is the one that a person can act on; the outer ones repeat the URL.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A body of at most so many bytes; what is longer is cut, and so cannot be read.
pub(super) async fn bounded(mut response: Response, most: usize) -> reqwest::Result<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_a_challenge_are_kept_beside_our_own() {
        assert_eq!(claims(None), r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#);
        let challenged = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
        let both = r#"{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["CP1"]}}}"#;
        assert_eq!(claims(Some(challenged)), both);
    }

    #[test]
    fn an_answer_without_a_token_is_not_quoted() {
        for body in ["canary", r#"{"access_token":"can ary","expires_in":1}"#, r#"{"access_token":"canary"}"#] {
            let error = granted(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ary"), "{error}");
        }
    }
}
