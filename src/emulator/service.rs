//! One request from arrival to answer: token, fault, path, version, operation, in that order.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Response, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Emulator;
use super::access::AccessModel;
use super::answer::Answer;
use super::api_version::ApiVersion;
use super::connection::Peer;
use super::errors::Refusal;
use super::faults::Fault;
use super::identity::{self, Endpoint};
use super::model::UnixTime;
use super::operations;
use super::origin::{Origin, Scheme};
use super::routes::{Target, parse_query};
use super::spoil;
use super::tokens::Claims;

/// Holds a restored secret of 500 versions, base64 upon base64.
const LONGEST_BODY: usize = 64 << 20;
const LONGEST_FORM: usize = 64 << 10;
/// Paths with one of these never reach the service: its front end answers in HTML.
const REJECTED: [char; 7] = ['<', '>', '*', '%', '&', ':', '\\'];
const REJECTED_PAGE: &str = "<!DOCTYPE HTML>\r\n<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD>\r\n\
                             <BODY><h2>Bad Request - Invalid URL</h2></BODY></HTML>\r\n";

/// How old the role assignments are that a vault under role-based access control has decided by.
const RBAC_CACHE: HeaderName = HeaderName::from_static("x-ms-keyvault-rbac-cache");
const NEW_CACHE: &str = "ra_age=0;da_age=0;rd_age=0;brd_age=0;ra_notif_age=0;dec_lev=0;";

/// A request as far as it is known before its body is read.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) origin: Origin,
    token: Option<String>,
    client_request_id: Option<HeaderValue>,
}

impl Asked {
    fn read(head: &Parts, peer: &Peer, vault: &str) -> Option<Self> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let host = head.uri.authority().map(|a| a.as_str()).or_else(|| text("host"));
        let fallback = format!("{vault}.vault.localhost");
        let method = match text("x-http-method") {
            // Documented for clients behind proxies that know GET and POST alone.
            Some(method) if head.method == "POST" => method.to_ascii_uppercase(),
            _ => head.method.to_string(),
        };
        Some(Asked {
            method,
            path: head.uri.path().to_owned(),
            query: parse_query(head.uri.query().unwrap_or_default()),
            origin: Origin::parse(peer.scheme, host.unwrap_or(&fallback))?,
            token: text(header::AUTHORIZATION.as_str()).and_then(bearer),
            client_request_id: head.headers.get("x-ms-client-request-id").cloned(),
        })
    }

    pub(super) fn query(&self, key: &str) -> Option<&str> {
        let pair = self.query.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
        pair.map(|(_, value)| value.as_str())
    }

    pub(super) fn api_version(&self) -> Result<ApiVersion, Refusal> {
        ApiVersion::parse(self.query("api-version"))
    }
}

/// A request that may be carried out: it has a place in the path table and a valid token.
pub(super) struct Call<'a> {
    pub(super) asked: &'a Asked,
    pub(super) target: &'a Target,
    pub(super) claims: &'a Claims,
    pub(super) fault: Option<&'a Fault>,
    pub(super) now: UnixTime,
}

fn bearer(authorization: &str) -> Option<String> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The application axum serves: one handler, since the path table is ours.
pub(super) fn router(emulator: Emulator) -> Router {
    Router::new().fallback(handle).with_state(emulator)
}

pub(super) async fn handle(
    State(emulator): State<Emulator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(asked) = Asked::read(&head, &peer, emulator.name()) else {
        return Answer::html(400, REJECTED_PAGE).into_response(None);
    };
    if let Some(endpoint) = sign_in_to(&asked, &peer) {
        return sign_in(&emulator, &asked, endpoint, body).await.into_response(None);
    }
    let target = Target::parse(&asked.method, &asked.path);
    let place = target.as_ref().ok().map(|target| emulator.inner.requests.begin(target));
    let response = respond(&emulator, &peer, asked, target, body).await;
    if let Some(place) = place {
        emulator.inner.requests.finish(place, response.status().as_u16());
    }
    response
}

/// Where a request wants to sign in. Over a plain socket nobody can: secrets would travel in the
/// clear.
fn sign_in_to<'a>(asked: &'a Asked, peer: &Peer) -> Option<Endpoint<'a>> {
    let endpoint = Endpoint::find(&asked.method, &asked.path)?;
    (peer.scheme == Scheme::Https).then_some(endpoint)
}

async fn sign_in(emulator: &Emulator, asked: &Asked, endpoint: Endpoint<'_>, body: Body) -> Answer {
    match endpoint {
        Endpoint::Discovery(tenant) => identity::discover(emulator, tenant, &asked.origin.id_base()),
        Endpoint::Token(tenant) => {
            let body = Zeroizing::new(axum::body::to_bytes(body, LONGEST_FORM).await.unwrap_or_default().to_vec());
            identity::sign_in(emulator, tenant, &String::from_utf8_lossy(&body))
        }
    }
}

async fn respond(
    emulator: &Emulator,
    peer: &Peer,
    asked: Asked,
    target: Result<Target, Refusal>,
    body: Body,
) -> Response<Body> {
    let id = asked.client_request_id.clone();
    let claims = match authenticate(emulator, &asked) {
        Ok(claims) => claims,
        Err(refusal) => return challenge(emulator, &asked, refusal).into_response(id),
    };
    let target = match target {
        Ok(target) => target,
        Err(refusal) => return Answer::from(refusal).into_response(id),
    };
    let befallen = emulator.faults().take(target.operation, target.name.as_deref());
    if let Some(befallen) = befallen.as_ref().filter(|befallen| !befallen.after_effect)
        && let Some(answer) = strike(emulator, peer, &asked, &claims, &befallen.fault).await
    {
        return answer.into_response(id);
    }
    let fault = befallen.as_ref().map(|befallen| &befallen.fault);
    let mut answer = carry_out(
        emulator,
        &Call { asked: &asked, target: &target, claims: &claims, fault, now: emulator.clock().now() },
        body,
    )
    .await;
    if emulator.inner.vault.read().options.access == AccessModel::Rbac {
        answer = answer.with_header(RBAC_CACHE, NEW_CACHE.to_owned());
    }
    if let Some(befallen) = befallen.as_ref().filter(|befallen| befallen.after_effect) {
        answer = strike(emulator, peer, &asked, &claims, &befallen.fault).await.unwrap_or(answer);
    }
    match fault {
        Some(fault) => spoil::response(answer, fault, id),
        None => answer.into_response(id),
    }
}

fn authenticate(emulator: &Emulator, asked: &Asked) -> Result<Arc<Claims>, Refusal> {
    let token = asked.token.as_deref().ok_or_else(Refusal::missing_token)?;
    let now = emulator.clock().now();
    emulator.inner.tokens.check(token, &asked.origin.resource(), now)
}

/// A 401 that says where tokens for this vault are to be had.
fn challenge(emulator: &Emulator, asked: &Asked, refusal: Refusal) -> Answer {
    let (tenant, resource) = (emulator.inner.tokens.tenant(), asked.origin.resource());
    let challenge = format!(
        "Bearer authorization=\"https://login.microsoftonline.com/{tenant}\", \
         resource=\"{resource}\""
    );
    Answer::from(refusal).with_header(header::WWW_AUTHENTICATE, challenge)
}

/// A fault that takes the place of the answer, or merely its time: `None`.
async fn strike(emulator: &Emulator, peer: &Peer, asked: &Asked, token: &Claims, fault: &Fault) -> Option<Answer> {
    match fault {
        Fault::Hang => emulator.faults().hang().await,
        Fault::Latency(span) => tokio::time::sleep(*span).await,
        Fault::Reset => peer.cut_off().await,
        Fault::ExpiredToken => return Some(challenge(emulator, asked, Refusal::expired_token())),
        Fault::ClaimsChallenge(claims) if token.answer(claims) => {}
        Fault::ClaimsChallenge(claims) => return Some(claims_challenge(claims)),
        Fault::Firewall => return Some(Refusal::forbidden_by_firewall(emulator.name()).into()),
        Fault::PrivateLink => return Some(Refusal::forbidden_by_connection(emulator.name()).into()),
        Fault::UnresolvedKey => return Some(challenge(emulator, asked, Refusal::unresolved_key())),
        other => return spoil::replacement(other),
    }
    None
}

/// A 401 that asks for a token with these claims in it (continuous access evaluation).
fn claims_challenge(claims: &str) -> Answer {
    let claims = STANDARD.encode(claims);
    let challenge = format!(
        "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
         error=\"insufficient_claims\", claims=\"{claims}\""
    );
    Answer::from(Refusal::insufficient_claims()).with_header(header::WWW_AUTHENTICATE, challenge)
}

/// Destroys what is past its time. Nobody waits for that to be on the disk but who reads.
fn sweep_if_due(emulator: &Emulator, now: UnixTime) {
    if emulator.inner.vault.read().is_sweep_due(now) {
        let mut vault = emulator.inner.vault.write();
        vault.sweep(now);
        drop(emulator.keep(&mut vault));
    }
}

async fn carry_out(emulator: &Emulator, call: &Call<'_>, body: Body) -> Answer {
    let mut words = call.target.name.iter().chain(&call.target.version);
    if words.any(|word| word.contains(REJECTED)) {
        return Answer::html(400, REJECTED_PAGE);
    }
    let Ok(body) = axum::body::to_bytes(body, LONGEST_BODY).await else {
        return Refusal::bad_parameter("The request body could not be read.").into();
    };
    if emulator.has_lost_its_store() {
        return Refusal::not_kept().into();
    }
    sweep_if_due(emulator, call.now);
    let (outcome, kept) = if call.target.operation.is_write() {
        let mut vault = emulator.inner.vault.write();
        (operations::write(emulator, &mut vault, call, &body), emulator.keep(&mut vault))
    } else {
        let vault = emulator.inner.vault.read();
        (operations::read(emulator, &vault, call), emulator.catch_up(&vault))
    };
    let on_disk = match kept {
        Some(kept) => kept.await == Ok(true),
        None => true,
    };
    if on_disk { outcome.unwrap_or_else(Answer::from) } else { Refusal::not_kept().into() }
}
