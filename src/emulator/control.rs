//! Control of a running vault by JSON over a socket of its own: faults, clock, requests seen,
//! tokens, and secrets written past the API. Who can open the socket owns the vault, so no token is
//! asked for; the socket is its owner's alone.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use super::access::Permission;
use super::answer::Answer;
use super::errors::Refusal;
use super::faults::FaultRule;
use super::model::{NewSecret, SecretValue, UnixTime};
use super::tokens::TokenSpec;
use super::{Emulator, EmulatorError, wire};

pub(super) fn router(emulator: Emulator) -> Router {
    Router::new()
        .route("/clock", get(clock).post(move_clock))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/faults", post(queue_fault).delete(clear_faults))
        .route("/faults/release", post(release))
        .route("/tokens", post(issue_token))
        .route("/secrets/{name}", post(put))
        .with_state(emulator)
}

#[derive(Serialize)]
struct Now {
    now: i64,
}

async fn clock(State(emulator): State<Emulator>) -> Response<Body> {
    shown(&Now { now: emulator.clock().now().seconds() })
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Move {
    /// Seconds forward.
    Advance(u64),
    /// Stops at these seconds since 1970.
    StopAt(u64),
    /// Runs again, with the system's time.
    Run,
}

async fn move_clock(State(emulator): State<Emulator>, body: Bytes) -> Response<Body> {
    let moved = parse(&body).map(|to| match to {
        Move::Advance(seconds) => emulator.clock().advance(Duration::from_secs(seconds)),
        Move::StopAt(seconds) => emulator.clock().stop_at(UnixTime::new(Duration::from_secs(seconds))),
        Move::Run => emulator.clock().run(),
    });
    done(moved)
}

async fn requests(State(emulator): State<Emulator>) -> Response<Body> {
    shown(&emulator.requests())
}

async fn clear_requests(State(emulator): State<Emulator>) -> Response<Body> {
    emulator.clear_requests();
    done(Ok(()))
}

async fn queue_fault(State(emulator): State<Emulator>, body: Bytes) -> Response<Body> {
    done(parse::<FaultRule>(&body).map(|rule| emulator.faults().queue(rule)))
}

async fn clear_faults(State(emulator): State<Emulator>) -> Response<Body> {
    emulator.faults().clear();
    done(Ok(()))
}

async fn release(State(emulator): State<Emulator>) -> Response<Body> {
    emulator.faults().release();
    done(Ok(()))
}

/// Absent fields are those of the default token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    lifetime: Option<u64>,
    audience: Option<String>,
    tenant: Option<String>,
    client_id: Option<String>,
    permissions: Option<Vec<Permission>>,
    claims: Option<String>,
}

#[derive(Serialize)]
struct Token {
    token: String,
}

async fn issue_token(State(emulator): State<Emulator>, body: Bytes) -> Response<Body> {
    let asked: TokenRequest = match parse(&body) {
        Ok(asked) => asked,
        Err(refusal) => return done(Err(refusal)),
    };
    let default = TokenSpec::default();
    let spec = TokenSpec {
        lifetime: asked.lifetime.map_or(default.lifetime, Duration::from_secs),
        audience: asked.audience.unwrap_or(default.audience),
        tenant: asked.tenant,
        client_id: asked.client_id.unwrap_or(default.client_id),
        permissions: asked.permissions.unwrap_or(default.permissions),
        claims: asked.claims,
    };
    shown(&Token { token: emulator.issue_token_for(&spec) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutRequest {
    value: SecretValue,
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    enabled: Option<bool>,
    not_before: Option<i64>,
    expires_on: Option<i64>,
    #[serde(default)]
    managed: bool,
}

#[derive(Serialize)]
struct Written {
    version: String,
}

async fn put(State(emulator): State<Emulator>, Path(name): Path<String>, body: Bytes) -> Response<Body> {
    let asked: PutRequest = match parse(&body) {
        Ok(asked) => asked,
        Err(refusal) => return done(Err(refusal)),
    };
    let new = NewSecret {
        value: asked.value,
        content_type: asked.content_type,
        tags: asked.tags,
        enabled: asked.enabled.unwrap_or(true),
        not_before: asked.not_before,
        expires_on: asked.expires_on,
        managed: asked.managed,
    };
    match emulator.put(&name, new) {
        Ok(version) => shown(&Written { version }),
        Err(error) => done(Err(refused(&error))),
    }
}

fn refused(error: &EmulatorError) -> Refusal {
    Refusal::bad_parameter(error.to_string())
}

/// The parser's own message is dropped: it can quote the body.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::bad_parameter("The request body is not as documented."))
}

fn shown(shape: &impl Serialize) -> Response<Body> {
    Answer::json(200, wire::to_json(shape)).into_response(None)
}

fn done(outcome: Result<(), Refusal>) -> Response<Body> {
    outcome.map_or_else(Answer::from, |()| Answer::nothing()).into_response(None)
}
