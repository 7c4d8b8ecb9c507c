//! Managed identities as virtual machines and App Service offer them: a plain HTTP endpoint on the
//! loopback that hands out tokens. App Service guards its one by a secret header; that of a virtual
//! machine (IMDS) trusts whoever reaches it, so here it has to be asked for.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::http::request::Parts;
use axum::routing::get;
use serde::Serialize;
use zeroize::Zeroizing;

use super::access::Permission;
use super::answer::Answer;
use super::routes::parse_query;
use super::tokens::TokenSpec;
use super::{Emulator, wire};

const APP_SERVICE: &str = "/msi/token";
const IMDS: &str = "/metadata/identity/oauth2/token";
const TOKEN_SECONDS: u64 = 86_399;

/// A managed identity and how it is offered.
#[derive(Clone)]
pub struct ManagedIdentity {
    /// Its client id.
    pub client_id: String,
    /// What its tokens allow.
    pub permissions: Vec<Permission>,
    /// The secret of the App Service endpoint `/msi/token` (`IDENTITY_HEADER`); without one there is no
    /// such endpoint.
    pub identity_header: Option<Zeroizing<String>>,
    /// Whether `/metadata/identity/oauth2/token` answers as well. It gives a token to every local
    /// user who asks.
    pub imds: bool,
}

impl std::fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagedIdentity").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

type Identity = (Emulator, ManagedIdentity);

pub(super) fn router(emulator: Emulator, identity: ManagedIdentity) -> Router {
    let app = Router::new();
    let app = if identity.identity_header.is_some() { app.route(APP_SERVICE, get(app_service)) } else { app };
    let app = if identity.imds { app.route(IMDS, get(imds)) } else { app };
    app.with_state((emulator, identity))
}

async fn app_service(State((emulator, identity)): State<Identity>, request: Request) -> Response<Body> {
    let (head, _) = request.into_parts();
    let expected = identity.identity_header.as_ref().map_or(&[][..], |header| header.as_bytes());
    let given = head.headers.get("x-identity-header").map_or(&[][..], |value| value.as_bytes());
    match aws_lc_rs::constant_time::verify_slices_are_equal(given, expected) {
        Ok(()) if !expected.is_empty() => token(&emulator, &identity, &head),
        _ => denied(401, "unauthorized", "The X-IDENTITY-HEADER is missing or wrong."),
    }
    .into_response(None)
}

async fn imds(State((emulator, identity)): State<Identity>, request: Request) -> Response<Body> {
    let (head, _) = request.into_parts();
    let metadata = head.headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if metadata {
        token(&emulator, &identity, &head)
    } else {
        denied(400, "invalid_request", "Required metadata header not specified")
    }
    .into_response(None)
}

/// Times are strings of seconds, in both styles.
#[derive(Serialize)]
struct Token<'a> {
    access_token: String,
    client_id: &'a str,
    expires_in: String,
    expires_on: String,
    not_before: String,
    resource: &'a str,
    token_type: &'static str,
}

fn token(emulator: &Emulator, identity: &ManagedIdentity, head: &Parts) -> Answer {
    let query = parse_query(head.uri.query().unwrap_or_default());
    let asked = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let Some(resource) = asked("resource") else {
        return denied(400, "invalid_resource", "The resource is missing.");
    };
    if asked("client_id").is_some_and(|id| id != identity.client_id) {
        return denied(400, "invalid_request", "Identity not found");
    }
    let lifetime = Duration::from_secs(TOKEN_SECONDS);
    let now = emulator.clock().now();
    let access_token = emulator.issue_token_for(&TokenSpec {
        lifetime,
        audience: resource.to_owned(),
        client_id: identity.client_id.clone(),
        permissions: identity.permissions.clone(),
        ..TokenSpec::default()
    });
    Answer::json(
        200,
        wire::to_json(&Token {
            access_token,
            client_id: &identity.client_id,
            expires_in: TOKEN_SECONDS.to_string(),
            expires_on: now.plus(lifetime).seconds().to_string(),
            not_before: now.seconds().to_string(),
            resource,
            token_type: "Bearer",
        }),
    )
}

fn denied(status: u16, error: &'static str, error_description: &'static str) -> Answer {
    #[derive(Serialize)]
    struct Denied {
        error: &'static str,
        error_description: &'static str,
    }
    Answer::json(status, wire::to_json(&Denied { error, error_description }))
}
