//! From an HTTP answer, or the lack of one, to what the vault said.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;

use super::transport::Answer;
use crate::vault::{Denial, VaultError, VaultErrorKind};

/// `{"error":{"code":…,"message":…,"innererror":{"code":…}}}`; the message is never looked at.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorCode,
}

#[derive(Deserialize)]
struct ErrorCode {
    code: Option<Box<str>>,
    innererror: Option<Box<ErrorCode>>,
}

/// Whether the vault says that there is no such secret or version. A bare 404 of a web server is not
/// that.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    answer.status == 404 && code(answer).as_deref() == Some("SecretNotFound")
}

/// The answer, if it is a success.
pub(super) fn checked(answer: Answer) -> Result<Answer, VaultError> {
    if matches!(answer.status, 200 | 204) { Ok(answer) } else { Err(of(&answer)) }
}

/// What a failed answer says.
pub(super) fn of(answer: &Answer) -> VaultError {
    let code = code(answer);
    let kind = match (answer.status, code.as_deref()) {
        (401, _) => VaultErrorKind::Unauthenticated,
        (403, Some("SecretDisabled")) => VaultErrorKind::Disabled,
        (403, Some("SecretManagedByKeyVault")) => VaultErrorKind::Denied(Denial::Managed),
        (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => VaultErrorKind::Denied(Denial::Network),
        (403, Some(_)) => VaultErrorKind::Denied(Denial::Permission),
        (409, Some(_)) => VaultErrorKind::Conflict,
        (429, _) => VaultErrorKind::Throttled(retry_after(answer)),
        (status @ 500..=599, _) => VaultErrorKind::Server(status),
        (status @ 400..=499, Some(_)) => VaultErrorKind::Rejected(status),
        // Key Vault's own front end refuses some URLs with a page of HTML.
        (400, None) => VaultErrorKind::Rejected(400),
        (status, _) => VaultErrorKind::NotKeyVault(format!("HTTP {status} with {}", content_type(answer)).into()),
    };
    let request_id = header(answer, "x-ms-request-id").map(Into::into);
    VaultError { kind, code, request_id }
}

/// Something answered as no vault would.
pub(super) fn not_key_vault(how: String) -> VaultError {
    VaultError::of(VaultErrorKind::NotKeyVault(how.into()))
}

/// The request did not get through, or its answer did not come back whole.
pub(super) fn unsent(error: reqwest::Error) -> VaultError {
    if error.is_timeout() {
        return VaultError::of(VaultErrorKind::TimedOut);
    }
    let cause = cause(&error);
    let remedy = if cause.contains("certificate") {
        "; if its authority is private, give it by --ca-bundle"
    } else if cause.contains("lookup") {
        "; is the vault's name right, and does this machine resolve names?"
    } else if cause.contains("corrupt message") {
        "; does it speak https?"
    } else {
        ""
    };
    VaultError::of(VaultErrorKind::Unreachable(format!("{cause}{remedy}").into()))
}

/// The innermost reason, which is the one that a person can act on; the outer ones repeat the URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn code(answer: &Answer) -> Option<Box<str>> {
    let body: ErrorBody = serde_json::from_slice(&answer.body).ok()?;
    body.error.innererror.and_then(|inner| inner.code).or(body.error.code)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

fn content_type(answer: &Answer) -> &str {
    header(answer, CONTENT_TYPE.as_str()).unwrap_or("no content type")
}

/// Seconds alone: the service has not been seen to send a date.
fn retry_after(answer: &Answer) -> Option<Duration> {
    header(answer, RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    fn coded(status: u16, code: &str, inner: Option<&str>) -> Answer {
        let inner = inner.map(|code| format!(r#","innererror":{{"code":"{code}"}}"#)).unwrap_or_default();
        answer(status, &format!(r#"{{"error":{{"code":"{code}","message":"canary"{inner}}}}}"#))
    }

    #[test]
    fn status_and_inner_code_decide() {
        use VaultErrorKind as Kind;
        for (answer, kind) in [
            (coded(403, "Forbidden", Some("SecretDisabled")), Kind::Disabled),
            (coded(403, "Forbidden", Some("ForbiddenByRbac")), Kind::Denied(Denial::Permission)),
            (coded(403, "Forbidden", Some("AccessDenied")), Kind::Denied(Denial::Permission)),
            (coded(403, "Forbidden", Some("ForbiddenByFirewall")), Kind::Denied(Denial::Network)),
            (coded(409, "Conflict", Some("ObjectIsBeingDeleted")), Kind::Conflict),
            (coded(429, "Throttled", None), Kind::Throttled(None)),
            (coded(400, "BadParameter", None), Kind::Rejected(400)),
            (answer(400, "<html>Bad Request</html>"), Kind::Rejected(400)),
            (answer(503, "<html>"), Kind::Server(503)),
            (answer(404, "<html>"), Kind::NotKeyVault("HTTP 404 with no content type".into())),
            (answer(302, ""), Kind::NotKeyVault("HTTP 302 with no content type".into())),
        ] {
            let error = of(&answer);
            assert_eq!(error.kind, kind);
            assert!(!format!("{error} {error:?}").contains("canary"), "a body has leaked");
        }
    }

    #[test]
    fn a_web_servers_404_is_not_an_absent_secret() {
        assert!(is_not_found(&coded(404, "SecretNotFound", None)));
        assert!(!is_not_found(&answer(404, "not found")));
    }
}
