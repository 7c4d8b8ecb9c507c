//! What faults make of an answer: replaced, cut short, garbled or bloated.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use futures_util::stream;

use super::answer::Answer;
use super::errors::Refusal;
use super::faults::{Fault, RetryAfter};

const PAGE: &str = "<!DOCTYPE html><html><body><h1>Sign in to continue</h1></body></html>";

/// The answer a fault puts in place of the ordinary one, if it is such a fault.
pub(super) fn replacement(fault: &Fault) -> Option<Answer> {
    match fault {
        Fault::Status { status, body } if body.is_empty() => Some(Refusal::injected(*status).into()),
        Fault::Status { status, body } => Some(Answer::json(*status, body.clone().into_bytes())),
        Fault::Throttled(retry_after) => Some(throttled(retry_after.as_ref())),
        Fault::Html => Some(Answer::html(200, PAGE)),
        _ => None,
    }
}

fn throttled(retry_after: Option<&RetryAfter>) -> Answer {
    let answer = Answer::from(Refusal::throttled());
    match retry_after {
        Some(RetryAfter::Seconds(seconds)) => answer.with_header(header::RETRY_AFTER, seconds.to_string()),
        Some(RetryAfter::Date(date)) => answer.with_header(header::RETRY_AFTER, date.clone()),
        None => answer,
    }
}

/// The ordinary answer as a fault leaves it.
pub(super) fn response(mut answer: Answer, fault: &Fault, client_request_id: Option<HeaderValue>) -> Response<Body> {
    let whole = answer.body.len();
    match fault {
        Fault::BadJson | Fault::TruncatedBody => answer.body.truncate(whole / 2),
        Fault::Oversize(spaces) => answer.body.resize(whole + spaces, b' '),
        _ => {}
    }
    let response = answer.into_response(client_request_id);
    if *fault == Fault::TruncatedBody { declared_longer(response, whole) } else { response }
}

/// Declares more bytes than will come: the connection ends in the middle of the body.
fn declared_longer(response: Response<Body>, length: usize) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let broken: Result<Bytes, _> = Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    let end = stream::once(std::future::ready(broken));
    let body = futures_util::StreamExt::chain(
        body.into_data_stream(),
        futures_util::StreamExt::map(end, |end| end.map_err(axum::Error::new)),
    );
    Response::from_parts(head, Body::from_stream(body))
}
