//! Sign-in as Entra ID offers it to applications: the token endpoint for client secrets and client
//! assertions (workload identity among them), over TLS beside the vault.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::access::Permission;
use super::answer::Answer;
use super::routes::parse_query;
use super::tokens::TokenSpec;
use super::{Emulator, wire};

const TOKEN_SECONDS: u64 = 3599;

/// An application that can sign in.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its client id.
    pub client_id: String,
    /// What it may prove itself with: any of these.
    pub credentials: Vec<AppCredential>,
    /// What its tokens allow.
    pub permissions: Vec<Permission>,
}

/// What an application proves itself with. `Debug` shows nothing of it.
#[derive(Clone)]
pub enum AppCredential {
    /// A client secret.
    Secret(Zeroizing<String>),
    /// A client assertion, such as the content of a projected service-account token file. It is
    /// compared whole: there is no issuer here whose signature could be checked.
    Assertion(Zeroizing<String>),
    /// A certificate: its public key (SubjectPublicKeyInfo, DER), which has to have signed the client
    /// assertion (PS256).
    Certificate(Vec<u8>),
}

impl std::fmt::Debug for AppCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AppCredential::Secret(_) => "Secret(<redacted>)",
            AppCredential::Assertion(_) => "Assertion(<redacted>)",
            AppCredential::Certificate(_) => "Certificate",
        })
    }
}

/// An endpoint of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// Gives tokens: `POST /TENANT/oauth2/v2.0/token`.
    Token(&'a str),
    /// Says where tokens are given: `GET /TENANT/v2.0/.well-known/openid-configuration`.
    Discovery(&'a str),
}

impl<'a> Endpoint<'a> {
    pub(super) fn find(method: &str, path: &'a str) -> Option<Self> {
        let tenant = |suffix| {
            let tenant = path.strip_prefix('/')?.strip_suffix(suffix)?;
            (!tenant.is_empty() && !tenant.contains('/')).then_some(tenant)
        };
        match method {
            "POST" => tenant("/oauth2/v2.0/token").map(Endpoint::Token),
            "GET" => tenant("/v2.0/.well-known/openid-configuration").map(Endpoint::Discovery),
            _ => None,
        }
    }
}

/// Where a tenant's endpoints are. Python's client asks before its first sign-in.
#[derive(Serialize)]
struct Discovered {
    token_endpoint: String,
    authorization_endpoint: String,
    issuer: String,
}

/// Answers the question where a tenant's endpoints are; `base` is how the client has reached us.
pub(super) fn discover(emulator: &Emulator, tenant: &str, base: &str) -> Answer {
    if let Err(denied) = check_tenant(emulator, tenant) {
        return denied.into();
    }
    let below = |path: &str| format!("{base}/{tenant}/{path}");
    let discovered = Discovered {
        token_endpoint: below("oauth2/v2.0/token"),
        authorization_endpoint: below("oauth2/v2.0/authorize"),
        issuer: below("v2.0"),
    };
    Answer::json(200, wire::to_json(&discovered))
}

/// Answers a sign-in; `form` is the urlencoded body.
pub(super) fn sign_in(emulator: &Emulator, tenant: &str, form: &str) -> Answer {
    match grant(emulator, tenant, &Form(parse_query(form))) {
        Ok(token) => Answer::json(200, wire::to_json(&token)),
        Err(denied) => denied.into(),
    }
}

struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, field: &str) -> &str {
        let pair = self.0.iter().find(|(name, _)| name == field);
        pair.map_or("", |(_, value)| value)
    }
}

#[derive(Serialize)]
struct Token {
    token_type: &'static str,
    expires_in: u64,
    ext_expires_in: u64,
    access_token: String,
}

fn grant(emulator: &Emulator, tenant: &str, form: &Form) -> Result<Token, Denied> {
    check_tenant(emulator, tenant)?;
    if form.get("grant_type") != "client_credentials" {
        return Err(Denied::new(400, "unsupported_grant_type", 70_003, "The app requested an unsupported grant type."));
    }
    let client_id = form.get("client_id");
    let applications = emulator.inner.applications.lock();
    let application = applications.iter().find(|application| application.client_id == client_id);
    let application = application.ok_or_else(|| {
        let text = format!("Application with identifier '{client_id}' was not found in the directory.");
        Denied::new(400, "unauthorized_client", 700_016, text)
    })?;
    prove(application, form)?;
    let audience = form.get("scope").strip_suffix("/.default").ok_or_else(|| {
        Denied::new(
            400,
            "invalid_scope",
            1_002_012,
            "The provided value for scope is not valid: it must end in /.default.",
        )
    })?;
    let spec = TokenSpec {
        lifetime: std::time::Duration::from_secs(TOKEN_SECONDS),
        audience: audience.to_owned(),
        client_id: client_id.to_owned(),
        permissions: application.permissions.clone(),
        claims: Some(form.get("claims").to_owned()),
        ..TokenSpec::default()
    };
    let access_token = emulator.issue_token_for(&spec);
    Ok(Token { token_type: "Bearer", expires_in: TOKEN_SECONDS, ext_expires_in: TOKEN_SECONDS, access_token })
}

fn check_tenant(emulator: &Emulator, tenant: &str) -> Result<(), Denied> {
    if tenant.eq_ignore_ascii_case(&emulator.tenant()) {
        return Ok(());
    }
    Err(Denied::new(400, "invalid_request", 90_002, format!("Tenant '{tenant}' not found.")))
}

fn prove(application: &Application, form: &Form) -> Result<(), Denied> {
    let proves = |credential: &AppCredential| {
        let (field, expected) = match credential {
            AppCredential::Secret(secret) => ("client_secret", secret),
            AppCredential::Assertion(assertion) => ("client_assertion", assertion),
            AppCredential::Certificate(key) => return is_signed_by(key, form.get("client_assertion")),
        };
        aws_lc_rs::constant_time::verify_slices_are_equal(form.get(field).as_bytes(), expected.as_bytes()).is_ok()
    };
    if application.credentials.iter().any(proves) {
        return Ok(());
    }
    Err(if form.get("client_assertion").is_empty() {
        Denied::new(401, "invalid_client", 7_000_215, "Invalid client secret provided.")
    } else {
        let text = "No matching federated identity record found for presented assertion.";
        Denied::new(401, "invalid_client", 700_213, text)
    })
}

/// Whether a client assertion is signed by the key. Its claims are for the authority, which this one
/// takes for granted.
fn is_signed_by(key: &[u8], assertion: &str) -> bool {
    let Some((signed, signature)) = assertion.rsplit_once('.') else { return false };
    let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key);
    URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| key.verify(signed.as_bytes(), &signature).is_ok())
}

/// A refusal of the token endpoint, which words errors by OAuth's rules.
#[derive(Serialize)]
struct Denied {
    #[serde(skip)]
    status: u16,
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
}

impl Denied {
    fn new(status: u16, error: &'static str, number: u32, text: impl AsRef<str>) -> Self {
        let error_description = format!("AADSTS{number}: {}", text.as_ref());
        Denied { status, error, error_description, error_codes: [number] }
    }
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        Answer::json(denied.status, wire::to_json(&denied))
    }
}
