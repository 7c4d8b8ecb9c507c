//! An answer before it becomes bytes on a connection, with the headers the service always sends.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::errors::Refusal;
use super::{random, wire};

/// On every answer, as recorded. The service version is one seen in the wild.
const ALWAYS: [(&str, &str); 8] = [
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("expires", "-1"),
    ("strict-transport-security", "max-age=31536000;includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-ms-keyvault-region", "local"),
    ("x-ms-keyvault-network-info", "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;"),
    ("x-ms-keyvault-service-version", "1.9.749.1"),
];
const JSON: &str = "application/json; charset=utf-8";

/// Status, headers of its own, and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Answer { status, headers: vec![(header::CONTENT_TYPE, JSON.to_owned())], body }
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        let html = (header::CONTENT_TYPE, "text/html; charset=us-ascii".to_owned());
        Answer { status, headers: vec![html], body: body.into() }
    }

    /// 204: neither body nor its headers.
    pub(super) fn nothing() -> Self {
        Answer { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The response, `client_request_id` echoed.
    pub(super) fn into_response(self, client_request_id: Option<HeaderValue>) -> Response<Body> {
        let mut response = Response::new(Body::from(Bytes::from(self.body)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in ALWAYS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        insert(headers, HeaderName::from_static("x-ms-request-id"), &random::guid());
        if let Some(id) = client_request_id {
            headers.insert(HeaderName::from_static("x-ms-client-request-id"), id);
        }
        self.headers.iter().for_each(|(name, value)| insert(headers, name.clone(), value));
        response
    }
}

/// A value that cannot be a header is left out: it can only come from a fault's own text.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Answer::json(refusal.status, wire::error_body(&refusal))
    }
}
